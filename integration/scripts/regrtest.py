"""Runs one module of CPython's own tests and prints a line for each test: `ok NAME`, `skip NAME` or `FAIL NAME`.

regrtest.py MODULE LIMIT [OPTION...]: the options are those of `python3 -m test`. What fails runs once more by
itself, as on CPython's build machines: many tests measure time. The log of what failed goes to stderr.
"""
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

module, limit, *options = sys.argv[1:]


def run(options):
    """The result of each test, and the log."""
    report = "/tmp/regrtest.xml"
    command = [sys.executable, "-m", "test", "-v", f"--timeout={limit}", f"--junit-xml={report}", *options, module]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          errors="replace")
    results = {}
    try:
        for test in ElementTree.parse(report).getroot().iter("testcase"):
            kinds = {child.tag for child in test}
            result = "FAIL" if kinds & {"failure", "error"} else "skip" if "skipped" in kinds else "ok"
            # The subtests of a test have its name: one that fails fails the test.
            name = test.get("name")
            results[name] = min(result, results.get(name, result))
        os.remove(report)
    except (OSError, ElementTree.ParseError):
        results[f"{module} (whole)"] = "FAIL"
    return results, done.stdout


results, log = run(options)
failed = [name for name, result in results.items() if result == "FAIL"]
if 0 < len(failed) < 20 and f"{module} (whole)" not in failed:
    again, log = run([word for name in failed for word in ("-m", name)])
    results.update(again)
for name, result in sorted(results.items()):
    print(result, name)
if "FAIL" in results.values():
    print(log, file=sys.stderr)
