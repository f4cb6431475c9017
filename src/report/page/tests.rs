//! What the page of a run shows.

use super::*;
use crate::report::fixture::{Script, failed, figures, scan};
use crate::run::{Counts, Happening, ImageFigures, Reason, ReasonKind, TagMove, Unit};

/// A run that made an image, failed at a step, and left another out.
fn shop() -> Script {
    let mut script = Script::begin(&[
        ("lint", &[]),
        ("web:build@linux/amd64", &["lint"]),
        ("unit", &["lint"]),
        ("late", &["unit"]),
    ]);
    script.kind("web:build@linux/amd64", "build").ready("lint").at(100).started("lint").at(400);
    script.ended("lint", Outcome::Ran, 300).ready("web:build@linux/amd64").ready("unit").at(600);
    let notice = Happening::Notice { step: Some("unit".to_owned()), text: "asked again".to_owned() };
    script.say(notice).say(Happening::Notice { step: None, text: "the cache is full".to_owned() });
    script.started("web:build@linux/amd64").started("unit").line("unit", "assertion failed").at(1600);
    script.ended("unit", failed("`unit` failed"), 1000).at(2600);
    script.measured("web:build@linux/amd64", Outcome::Ran, 2000, vec![figures()]);
    let cause = crate::run::Cause::Need { step: "unit".to_owned() };
    script.ended("late", Outcome::NotRun { cause }, 0);
    script.over(Counts { ran: 2, failed: 1, not_run: 1, ..Counts::default() }, 2600);
    script
}

fn page(script: Script) -> String {
    let page = html(&Story::of(script.events), &[]);
    assert_well_formed(&page);
    page
}

/// Makes sure that every element that must be closed is, in the right order, that
/// attributes are quoted, and that nothing is loaded.
fn assert_well_formed(page: &str) {
    let optional = ["!doctype", "meta", "wbr", "br", "tr", "td", "th"];
    let mut open: Vec<&str> = Vec::new();
    let body = page.split_once("<body>").expect("a page has a body").1;
    for piece in body.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').unwrap_or_else(|| panic!("a tag without an end: {piece}"));
        let is_style = open.last() == Some(&"style");
        assert!(is_style || !text.contains('"') || !text.contains("=\""), "an attribute in a text: {text}");
        let tag = tag.trim_end();
        if let Some(name) = tag.strip_prefix('/') {
            if name != "body" && name != "html" {
                assert_eq!(open.pop(), Some(name), "in {piece}");
            }
            continue;
        }
        let name = tag.split([' ', '/']).next().unwrap_or_default();
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        if !optional.contains(&name) && !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert_eq!(open, Vec::<&str>::new());
    let loaded = page.replace("http://www.w3.org/2000/svg", "");
    for word in ["http:", "https:", "src=", "url(", "@import", "<script", "<link", "<img", "javascript:"] {
        assert!(!loaded.contains(word), "`{word}` is in the page");
    }
    assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'\""));
    // A link leads to something in the page.
    for link in page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(page.contains(&format!("id=\"{link}\"")), "nothing has the id {link}");
    }
}

#[test]
fn a_run_is_shown_with_what_failed_its_images_times_and_steps() {
    let page = page(shop());
    for part in [
        "<em class=\"pill failed\">failed</em>shop <span>all</span>",
        "1 failed, 1 not run, 2 ran in 2.6s",
        "<h2>1 step failed</h2>",
        "<p class=\"title\">exit status 1 <code>hoist::run::command_failed</code></p>",
        "<code>release.kdl:3:5</code>",
        "<b>help</b> mend it",
        "<pre class=\"log\"><span>assertion failed\n</span></pre>",
        // The figures of the image.
        "<dt>size</dt><dd>24.0 MB</dd><dd>+4.0 MB since ghcr.io/acme/web:1.2, 2026-11-20</dd>",
        "<dt>to transfer</dt><dd>9.0 MB</dd>",
        "<dt>layers</dt><dd>2</dd><dd>2 before</dd>",
        "<dt>reused</dt><dd>50 %</dd><dd>1 of 2 layers</dd>",
        "<dt>built in</dt><dd>2.0s</dd><dd>waited 200ms before</dd>",
        "24.0 MB of 30.0 MB, <b>6.0 MB left</b>",
        "<div class=\"over\"><span>layers</span>",
        "2 of 1, <b>1 over</b>",
        "<i class=\"l0\" style=\"flex:16000000 1 2px\" title=\"layer 1, 16.0 MB\"></i>",
        // The time line: from 600 to 2600 of 2600 ms, behind a wait of 200 ms.
        "<i class=\"wait\" style=\"left:15.38%;width:7.69%\"></i>",
        "<i class=\"ran critical\" style=\"left:23.08%;width:76.92%\"></i>",
        "2 steps, 2.3s",
        // The table.
        "exit status 1 (release.kdl:3)<br>asked again",
        "<p class=\"facts\">the cache is full</p>",
        "it needs `unit`, which did not succeed",
        "<title>unit\nfailed, 1.0s</title>",
    ] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
}

#[test]
fn what_others_wrote_is_text_and_nothing_else() {
    let evil = "a\"'><script>alert('1')</script><img src=x>&\u{202e}\u{7}";
    let mut script = Script::begin(&[(evil, &[]), ("b", &[evil])]);
    script.kind(evil, "build");
    if let Happening::RunStarted(run) = &mut script.events[0].what {
        run.project = evil.to_owned();
        run.goals = vec![evil.to_owned()];
        run.unpublished = Some(evil.to_owned());
        run.trigger.name = Some(evil.to_owned());
        run.trigger.commit = Some(evil.to_owned());
        run.trigger.kind = evil.to_owned();
        run.run = evil.to_owned();
        run.hoist = evil.to_owned();
    }
    let reasons = vec![Reason::new(ReasonKind::Changed, evil)];
    script.say(Happening::StepStarted { step: evil.to_owned(), reasons: reasons.clone() });
    script.say(Happening::Notice { step: None, text: evil.to_owned() });
    script.say(Happening::Notice { step: Some(evil.to_owned()), text: evil.to_owned() });
    script.line(evil, evil).line(evil, "\u{1b}[31mred\u{1b}[0m");
    let mut outcome = failed(evil);
    if let Outcome::Failed { problems } = &mut outcome {
        problems[0].code = evil.to_owned();
        problems[0].labels[0].file = evil.to_owned();
        problems[0].labels[0].text = evil.to_owned();
        problems[0].help = Some(evil.to_owned());
        problems[0].notes = vec![evil.to_owned(), format!("{evil}\n{evil}")];
    }
    let mut image = figures();
    for text in [&mut image.image, &mut image.platform, &mut image.digest] {
        evil.clone_into(text);
    }
    image.layers[0].created_by = Some(evil.to_owned());
    image.layers[0].digest = evil.to_owned();
    image.before.as_mut().unwrap().name = evil.to_owned();
    image.before.as_mut().unwrap().released = Some(evil.to_owned());
    script.measured(evil, outcome, 5, vec![image]);
    let moved = TagMove {
        repository: evil.to_owned(),
        tag: evil.to_owned(),
        from: Some(evil.to_owned()),
        to: evil.to_owned(),
        kept: None,
    };
    let kept = TagMove { kept: Some(evil.to_owned()), ..moved.clone() };
    script.say(Happening::StepStarted { step: "b".to_owned(), reasons });
    script.ended("b", Outcome::Skipped { reason: evil.to_owned() }, 0);
    if let Some(Happening::StepEnded(ended)) = script.events.last_mut().map(|event| &mut event.what) {
        ended.tags = vec![moved, kept];
    }
    let before = [Past::of(&Story::of(script.events.clone()))];
    script.over(Counts { failed: 1, ..Counts::default() }, 10);
    if let Some(Happening::RunEnded(ended)) = script.events.last_mut().map(|event| &mut event.what) {
        ended.result = evil.to_owned();
    }
    let page = html(&Story::of(script.events), &before);
    // The words stand there as text: without them, nothing is left that could be loaded.
    for tag in ["<script", "<img", "alert('1')", "\u{202e}", "\u{7}", "\u{1b}"] {
        assert!(!page.contains(tag), "{tag} is in {page}");
    }
    assert!(
        page.contains("&lt;img src=x&gt;") && page.contains(">red\n") || page.contains("\nred\n"),
        "{page}"
    );
    assert_well_formed(&page.replace("src=x", "").replace("&#39;", ""));
}

#[test]
fn of_very_many_steps_what_matters_is_drawn_and_the_rest_is_counted() {
    let names: Vec<String> = (0..10_000).map(|at| format!("step-{at}")).collect();
    let needs: Vec<Vec<&str>> =
        (0..10_000).map(|at| if at < 100 { Vec::new() } else { vec![names[at - 100].as_str()] }).collect();
    let steps: Vec<(&str, &[&str])> =
        names.iter().zip(&needs).map(|(name, needs)| (name.as_str(), needs.as_slice())).collect();
    let mut script = Script::begin(&steps);
    for (at, name) in (0_i64..).zip(&names) {
        let outcome = if at == 5000 { failed("`x` failed") } else { Outcome::Ran };
        script.at(at).started(name).at(at + 1 + at % 7);
        script.ended(name, outcome, u64::try_from(1 + at % 7).unwrap());
    }
    script.over(Counts { ran: 9999, failed: 1, ..Counts::default() }, 10_010);
    let page = page(script);
    assert!(page.len() < 1_000_000, "{}", page.len());
    for part in
        ["9000 more steps are left out", "9750 steps of at most 7ms are left out", "150 of 10000 steps"]
    {
        assert!(page.contains(part), "{part} is missing");
    }
    // What failed is drawn, and reached by way of steps that are not.
    assert!(page.contains("<title>step-5000\nfailed"), "it is drawn");
    assert!(page.contains("<path class=\"product\""), "there are edges");
}

#[test]
fn a_run_that_was_killed_shows_what_it_was_doing() {
    let mut script = Script::begin(&[("a", &[]), ("b", &[])]);
    script.started("a").at(20).ended("a", Outcome::Ran, 20).started("b").at(70).line("b", "working");
    let story = Story { cut_off: true, ..Story::of(script.events) };
    let page = html(&story, &[]);
    assert_well_formed(&page);
    assert!(page.contains("<em class=\"pill failed\">cut off</em>"), "{page}");
    assert!(
        page.contains("<em class=\"pill stopped\">unfinished</em>") && page.contains("working"),
        "{page}"
    );
}

#[test]
fn a_run_that_did_nothing_is_a_page_all_the_same() {
    let page = page({
        let mut script = Script::begin(&[]);
        script.over(Counts::default(), 3);
        script
    });
    assert!(page.contains("nothing to do in 3ms"), "{page}");
    assert_well_formed(&html(&Story::default(), &[]));
}

#[test]
fn runs_are_compared_with_those_before() {
    let mut earlier = shop();
    if let Happening::RunStarted(run) = &mut earlier.events[0].what {
        run.run = "20261120T000000.000Z-00000000".to_owned();
    }
    let before = [Past::of(&Story::of(earlier.events))];
    let mut script = Script::begin(&[("web:build@linux/amd64", &[])]);
    let larger = ImageFigures { transferred: 18_000_000, ..figures() };
    script.measured("web:build@linux/amd64", Outcome::Ran, 1, vec![larger]);
    script.over(Counts { ran: 1, ..Counts::default() }, 1300);
    let page = html(&Story::of(script.events), &before);
    assert_well_formed(&page);
    for part in [
        "<i style=\"height:50.0%\" title=\"20261120T000000.000Z-00000000: 9.0 MB\"></i>",
        "<i style=\"height:100.0%\" title=\"this run: 18.0 MB\"></i>",
        "<i class=\"good\" style=\"width:50.0%\"></i>",
        "<td class=\"by\">1 failed, 1 not run, 2 ran",
    ] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
    let reused = page.contains("1 of 2 layers");
    assert!(reused && figures().reused.is_some_and(|reused| reused.unit == Unit::Layer));
}

#[test]
fn what_a_scan_found_is_listed_with_why_it_is_allowed() {
    let mut script = Script::begin(&[("web:scan@trivy", &[])]);
    let mut found = scan();
    found.findings[1].title = Some("<b>&\u{1b}[31m".to_owned());
    script.scanned("web:scan@trivy", failed("found"), found);
    let page = page(script);
    for text in [
        "<p>1 high, 1 medium; 1 allowed</p>",
        "<tr><td><b>high</b><td><code>CVE-2024-1</code><td class=\"by\">openssl<td>1.1.1<td>1.1.2<td><td class=\"by\">&lt;b&gt;&amp;",
        "<em>allowed until 2027-01-31: not reachable</em>",
        "linux/amd64, linux/arm64, by a database of 2026-11-21 06:00:00 UTC",
    ] {
        assert!(page.contains(text), "{text} is not in {page}");
    }
    assert!(!page.contains('\u{1b}'));
}
