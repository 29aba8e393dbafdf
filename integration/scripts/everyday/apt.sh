export DEBIAN_FRONTEND=noninteractive
apt-get update 2>&1; echo "update: $?"
apt-get install -y hello 2>&1; echo "install: $?"
hello; dpkg -s hello | sed -n '1,5p'; dpkg -V hello; dpkg -L hello | wc -l
apt-get purge -y hello 2>&1; echo "purge: $?"; command -v hello
dpkg -i /srv/repository/hello_*.deb 2>&1; echo "dpkg: $?"; hello --greeting=hi
dpkg -r hello; echo "remove: $?"; command -v hello
apt-cache policy hello; dpkg --audit; echo "audit: $?"; apt-get check 2>&1; echo "check: $?"
true
