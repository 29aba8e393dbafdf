# stress.sh SECONDS CLASS EARLIER EXCLUDED: runs the stressors of a class of stress-ng, two at once, and tells of each what
# became of it. Those that an earlier class has, or that are excluded, are left out; classes and names are separated by
# blanks.
seconds=$1 class=$2 earlier=$3 excluded=$4

members() {
	stress-ng --class "$1?" 2>&1 | sed -n "s/^class .* stressors: //p" | tr ' ' '\n'
}

one() {
	as=
	# Those refuse to run as root.
	case $1 in exec | spawn) as="setpriv --reuid=65534 --regid=65534 --clear-groups" ;; esac
	said=$($as timeout -k 5 $((seconds + 60)) stress-ng --verify "--$1" 1 --timeout "${seconds}s" --temp-path /tmp \
		--oomable 2>&1)
	status=$?
	case $said in
	*"skipping str"* | *"skipping the str"* | *"No stress workers"*) echo "skip $1" ;;
	*)
		if [ $status = 0 ]; then
			echo "ok $1"
		else
			echo "FAIL $1"
			printf '%s: status %d\n%s\n' "$1" $status "$said" >&2
		fi
		;;
	esac
}

export seconds
export -f one
cd /tmp || exit
{
	for other in $earlier; do members "$other"; done
	printf '%s\n' $excluded
} | sort -u >left_out
members "$class" | sort -u | comm -23 - left_out | xargs -P 2 -I NAME bash -c 'one NAME'
