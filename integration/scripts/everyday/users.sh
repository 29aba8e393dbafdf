echo '127.0.0.1 box' >>/etc/hosts
useradd -m -s /bin/bash -c 'A User' alice; echo "useradd: $?"
id alice; getent passwd alice; ls -ld /home/alice | cut -d' ' -f1-4; ls -A /home/alice
groupadd crew; usermod -aG crew,audio -c 'Another Name' alice; id alice; getent passwd alice
echo alice:secret | chpasswd; echo "chpasswd: $?"; passwd -S alice | cut -d' ' -f1,2
su - alice -c 'id; pwd; echo $HOME $USER $LOGNAME $SHELL; umask; grep -E "^(Uid|Gid|Groups|CapEff)" /proc/self/status'
su alice -c 'touch /etc/x; echo $?; cat /etc/shadow; echo $?' 2>&1
runuser -u alice -- id -un; runuser -l alice -c pwd
chage -l alice | tail -3; gpasswd -d alice audio; id alice
sudo -u alice id -un; su alice -c 'sudo -n true; echo $?' 2>&1
echo 'alice ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/alice
su alice -c 'sudo -n id -u; echo $?'
setpriv --reuid alice --regid alice --init-groups id
userdel -r alice; echo "userdel: $?"; id alice 2>&1; ls /home; groupdel crew; echo "groupdel: $?"
