# Finishes the root `$1`: local names, and the package `hello` in a repository inside, apt's only one.
set -eu
printf '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n' >"$1/etc/hosts"
repository=$1/srv/repository
mkdir -p "$repository"
chroot "$1" sh -c 'cd /srv/repository && apt-get -o APT::Sandbox::User=root download hello'
chroot "$1" sh -c 'cd /srv/repository && for package in *.deb; do
    dpkg-deb --field "$package"
    echo "Filename: ./$package"
    echo "Size: $(stat --format=%s "$package")"
    echo "SHA256: $(sha256sum "$package" | cut -d" " -f1)"
    echo
done >Packages'
rm -f "$1"/etc/apt/sources.list.d/*
echo 'deb [trusted=yes] file:/srv/repository ./' >"$1/etc/apt/sources.list"
