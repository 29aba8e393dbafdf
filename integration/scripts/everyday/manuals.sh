mandb --create --quiet 2>&1; echo "mandb: $?"
man -P cat ls 2>&1 | head -8
man -k '^printf' | sort; whatis ls; man -w ls
man -P cat nosuch 2>&1; echo "nosuch: $?"
