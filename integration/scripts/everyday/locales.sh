sed -i 's/^# *\(de_DE.UTF-8\|ja_JP.UTF-8\)/\1/' /etc/locale.gen
locale-gen 2>&1; echo "locale-gen: $?"
locale -a
LC_ALL=de_DE.UTF-8 date -d @0 '+%A %B'; LC_ALL=de_DE.UTF-8 printf '%.2f\n' 1,5
LC_ALL=ja_JP.UTF-8 date -d @0 '+%A'; LC_ALL=ja_JP.UTF-8 sort <<'END'
い
ア
あ
END
