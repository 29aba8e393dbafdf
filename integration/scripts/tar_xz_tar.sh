set -e
cd /
mkdir /tmp/out
tar --sort=name -cf - usr/share | xz -0 -T1 | xz -d | tar -xf - -C /tmp/out
diff -r /usr/share /tmp/out/usr/share 2>&1 | sort | head -20
cd /tmp/out; find . ! -type d -printf '%p %m %U %G %s %TY-%Tm-%Td %TT\n' | sort | md5sum
tar --sort=name -C /usr/share -cf /tmp/again.tar .; tar -tvf /tmp/again.tar | md5sum; tar -C /usr/share -df /tmp/again.tar
rm -rf /tmp/out; ls /tmp
