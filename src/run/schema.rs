//! That events are what `schema/events.schema.json` says.

use serde_json::{Value, json};

use crate::plan::{Action, Gap};
use crate::run::fixture::Project;
use crate::run::{
    AllowanceFigures, Bound, BudgetFigures, Event, Fault, FindingFigures, Happening, ImageBefore,
    ImageFigures, LayerFigures, Learned, LogPlace, Outcome, Reused, ScanFigures, SeverityCounts, StepEnded,
    TagMove, Unit,
};

mod validator;

pub(crate) use validator::wrong;

const SCHEMA: &str = include_str!("../../schema/events.schema.json");

fn check(events: &[Event]) {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let is_told = |event: &&Event| !matches!(event.what, Happening::Written(_));
    for event in events.iter().filter(is_told) {
        let value = serde_json::to_value(event).unwrap();
        assert_eq!(wrong(&schema, &value, &schema), None, "{value:#}");
        assert_eq!(&serde_json::from_value::<Event>(value).unwrap(), event);
    }
}

#[test]
fn the_events_of_a_run_are_as_the_schema_says() {
    let mut project = Project::new();
    project.cached("gen", "printf 'caf\\351' >&2", &[], "a", &[]);
    project.cached("bad", "exit 1", &[0], "a", &[]).command().retries = 1;
    project.target("next", "true", &[1]);
    let span = project.plan.steps[0].span;
    project.target("skip", "", &[]).action = Action::Skip("`os` is not `beos`".into());
    project.options.keep_going = true;
    check(&project.run().events);
    check(&project.run().events);
    project.options.keep_going = false;
    project.target("gap", "", &[]).action = Action::NotAvailable(Gap { what: "signing".into(), span });
    check(&project.run().events);
}

/// All that can be measured.
fn figures() -> ImageFigures {
    let digest = format!("sha256:{}", "0".repeat(64));
    let bound = Some(Bound { used: 3, most: 2 });
    let layer = LayerFigures {
        digest: digest.clone(),
        transferred: 10,
        size: Some(20),
        created_by: Some("COPY . .".into()),
    };
    ImageFigures {
        image: "web".into(),
        platform: "linux/arm/v7".into(),
        digest: digest.clone(),
        transferred: 10,
        size: Some(20),
        wasted: Some(0),
        layers: vec![layer.clone(), LayerFigures { size: None, created_by: None, ..layer }],
        reused: Some(Reused { unit: Unit::Instruction, all: 3, reused: 2 }),
        budget: Some(BudgetFigures { size: bound, layers: bound, wasted: bound }),
        before: Some(ImageBefore {
            name: "localhost:5000/web:1.2".into(),
            released: Some("2026-11-21T12:34:56Z".into()),
            digest,
            transferred: 9,
            size: None,
            layers: 1,
        }),
    }
}

/// All that a scan can have found.
fn scan() -> ScanFigures {
    let allowed = Some(AllowanceFigures { until: "2027-01-31".into(), reason: "not reachable".into() });
    let finding = FindingFigures {
        id: "CVE-2024-1".into(),
        severity: "unknown".into(),
        package: "openssl".into(),
        installed: "1.1.1".into(),
        fixed: Some("1.1.2".into()),
        title: Some("slow".into()),
        platforms: vec!["linux/amd64".into()],
        fails: true,
        allowed,
    };
    let bare = FindingFigures { installed: String::new(), fixed: None, title: None, ..finding.clone() };
    ScanFigures {
        image: "web".into(),
        scanner: "trivy".into(),
        version: Some("0.58.1".into()),
        database: Some("2026-11-26".into()),
        fail_on: "high".into(),
        passed: false,
        platforms: vec!["linux/amd64".into()],
        counts: SeverityCounts { critical: 1, ..SeverityCounts::default() },
        allowed: 1,
        findings: vec![finding, FindingFigures { allowed: None, ..bare }],
        more: 3,
    }
}

#[test]
fn events_that_are_rare_are_as_the_schema_says() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let repository = "localhost:5000/web".to_owned();
    let moved =
        TagMove { repository, tag: "1.2".into(), from: Some(digest.clone()), to: digest.clone(), kept: None };
    let kept = TagMove { kept: Some("it holds 1.3".into()), from: None, ..moved.clone() };
    let ended = StepEnded {
        step: "web:tag@main".into(),
        outcome: Outcome::Ran,
        milliseconds: 5,
        digest: Some(digest),
        tags: vec![moved, kept],
        images: vec![figures()],
        scan: Some(Box::new(scan())),
        log: Some(LogPlace { file: "logs/3.log".into(), replayed: true }),
    };
    let happenings = [
        Happening::StepEnded(StepEnded { outcome: Outcome::Cancelled, ..ended.clone() }),
        Happening::StepEnded(ended),
        Happening::Notice { step: None, text: "the record of this run is not complete".into() },
        Happening::Interrupted { signal: "SIGTERM".into(), kill: true },
        Happening::Learned(Box::new(Learned { read: vec!["src/a.c".into()], ..Learned::default() })),
    ];
    check(&happenings.map(|what| Event { time: "2026-11-21T12:34:56Z".parse().unwrap(), what }));
}

#[test]
fn the_check_finds_what_is_wrong() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let fault = |value: Value| wrong(&schema["$defs"]["problem"], &value, &schema);
    let good = Fault {
        code: "hoist::run::timed_out".into(),
        title: "slow".into(),
        labels: vec![],
        help: None,
        notes: vec![],
    };
    assert_eq!(fault(serde_json::to_value(good).unwrap()), None);
    assert_eq!(fault(json!({ "title": "x" })).as_deref(), Some("\"code\" is missing"));
    assert_eq!(
        fault(json!({ "code": "x", "title": "x" })).as_deref(),
        Some("\"x\" is no \"^hoist::[a-z]+::[a-z0-9_]+$\"")
    );
    let unknown = fault(json!({ "code": "hoist::a::b", "title": "x", "colour": 1 }));
    assert_eq!(unknown.as_deref(), Some("`colour` is unknown"));
}
