export GNUPGHOME=/tmp/g
mkdir -m 700 $GNUPGHOME
gpg --batch --quiet --gen-key 2>/dev/null <<'END'
%no-protection
Key-Type: RSA
Key-Length: 2048
Subkey-Type: RSA
Subkey-Length: 2048
Name-Real: Test
Name-Email: t@example.org
Expire-Date: 0
END
echo "generated: $?"
gpg --batch --list-keys --with-colons 2>/dev/null | grep -E '^(uid|pub|sub)' | cut -d: -f1-4,10
echo data >/tmp/d
gpg --batch --quiet --detach-sign /tmp/d; echo "signed: $?"
gpg --batch --verify /tmp/d.sig /tmp/d 2>&1 | grep -o 'Good signature.*'
gpg --batch --quiet -e -r t@example.org /tmp/d; gpg --batch --quiet -d /tmp/d.gpg
echo x >>/tmp/d; gpg --batch --verify /tmp/d.sig /tmp/d >/dev/null 2>&1; echo "spoilt: $?"
gpgconf --kill all; echo "killed: $?"
for try in $(seq 50); do ls /tmp/g | grep -q '^S' || break; sleep 0.1; done
ls /tmp/g | sort
