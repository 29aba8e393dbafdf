name=world
cat <<END
hello $name $(echo from a substitution) $((6 * 7))
END
cat <<'END'
not $expanded
END
cat <<-END
	tabs are stripped
	END
cat <<<"a here string"
while read -r a b; do echo "$b $a"; done <<END
1 one
2 two
END
# Larger than a pipe's buffer: bash writes it to a temporary file.
big=$(seq 1 40000)
wc -c <<<"$big"
md5sum <<<"$big"
