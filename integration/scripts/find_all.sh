cd /
find / -xdev | sort >/dev/shm/list
wc -l </dev/shm/list; md5sum </dev/shm/list
# A directory's size and link count belong to the file system below, not to the tree.
find / -xdev ! -type d -printf '%p %y %m %U %G %n %s %l\n' | sort
find / -xdev -type d -printf '%p %m %U %G\n' | sort
find /usr/bin -name 'g*' -type f | sort | head -20
find /etc -type f -print0 | sort -z | xargs -0 md5sum
find /usr/bin ! -type d -exec ls -ld --time-style=full-iso {} + | md5sum
ls -lR /etc | grep '^[-l]' | md5sum
