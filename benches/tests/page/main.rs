//! The HTML report as a browser shows it: what is drawn is looked at, in headless Chromium, without a network.

use std::fs;
use std::process::Command;

use serde_json::Value;

const BROWSERS: &[&str] = &["chromium-headless-shell", "chromium"];
const LOOK: &str = include_str!("look.js");

fn browser() -> &'static str {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &&&str| std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
    BROWSERS.iter().find(is_there).expect("a browser (apt-get install chromium-headless-shell)")
}

/// Shows a page of some width; what the script `look.js` found.
fn look(page: &std::path::Path, width: u32) -> Value {
    let mut command = Command::new(browser());
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--virtual-time-budget=3000"]);
    command.arg(format!("--window-size={width},900")).arg(format!("file://{}", page.display()));
    let output = command.output().expect("the browser starts");
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = dom.split_once("<pre id=\"found\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let (found, _) =
        found.unwrap_or_else(|| panic!("no result: {}", String::from_utf8_lossy(&output.stderr)));
    serde_json::from_str(&found.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
        .expect("JSON")
}

#[test]
fn the_page_shows_all_figures_and_nothing_hides_another() {
    let dir = tempfile::tempdir().unwrap();
    let report = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/page/report.json");
    let rendered = Command::new(env!("CARGO_BIN_EXE_palisade-bench"))
        .args(["render", report, "--out"])
        .arg(dir.path())
        .status();
    assert!(rendered.unwrap().success());
    let page = fs::read_to_string(dir.path().join("report.html")).unwrap();
    // It needs nothing but itself.
    for outside in ["http:", "https:", "src=", "href=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    let watched = dir.path().join("watched.html");
    fs::write(&watched, page.replace("</body>", &format!("<script>{LOOK}</script></body>"))).unwrap();
    let report: Value = serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap();
    let figures = report["figures"].as_array().unwrap();
    let outcomes = || figures.iter().flat_map(|figure| figure["results"].as_array().unwrap());
    for width in [1200, 400] {
        let found = look(&watched, width);
        assert_eq!(found["bars"], figures.len(), "{found}");
        assert_eq!(
            found["rects"],
            outcomes().filter(|outcome| outcome["summary"].is_object()).count(),
            "{found}"
        );
        let samples: usize = outcomes().map(|outcome| outcome["samples"].as_array().unwrap().len()).sum();
        assert_eq!(found["dots"], samples, "{found}");
        assert_eq!(found["lines"], report["curves"].as_array().unwrap().len(), "{found}");
        assert_eq!(found["failed"], 1, "{found}");
        for fault in ["overlapping", "outside", "empty", "wide"] {
            assert_eq!(found[fault].as_array().unwrap().len(), 0, "{width}: {found}");
        }
        // The bars are in proportion to the figures.
        assert_eq!(found["order"], true, "{found}");
    }
}
