set -e
export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=C GIT_COMMITTER_EMAIL=c@example.org
export GIT_AUTHOR_DATE='2024-01-02T03:04:05Z' GIT_COMMITTER_DATE='2024-01-02T03:04:05Z'
mkdir /tmp/repo; cd /tmp/repo
git -c init.defaultBranch=main init -q
for d in $(seq 1 20); do mkdir -p dir$d; for f in $(seq 1 15); do echo "file $d $f $((d * f))" >dir$d/f$f; done; done
git add .; git commit -qm 'First commit'; git rev-parse HEAD
for i in $(seq 1 5); do echo "change $i" >>dir$i/f1; git commit -qam "Change $i"; done
git mv dir1 renamed; git rm -q dir2/f2; git commit -qm 'Rename'; git log --oneline
git status --short; echo new >untracked; git status --short
git checkout -q -b side HEAD~3; echo side >side; git add side; git commit -qm Side; git checkout -q main; git merge -q --no-edit side; git log --oneline --graph | head -4
git gc -q --prune=now; git count-objects -v | grep -v size; git fsck --full 2>&1
git clone -q /tmp/repo /tmp/copy 2>&1; cd /tmp/copy; git rev-parse HEAD; git fsck --full; git ls-files | wc -l
git clone -q --bare file:///tmp/repo /tmp/bare.git 2>&1; git -C /tmp/bare.git rev-parse main
git diff --stat HEAD~2 | tail -1; git stash list; git grep -c 'file 7 7'; git archive HEAD | tar -t | wc -l
