//! A release file to a plan.
#![no_main]

use hoist::diagnostic::Sources;
use hoist::facts::Event;
use hoist::plan::{Goals, NeedKind};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(text) = hoist_fuzz::text(data) else { return };
    let mut sources = Sources::new();
    let release = match hoist_fuzz::release(text, &mut sources) {
        Ok(release) => release,
        Err(problems) => return hoist_fuzz::check(&problems, &sources),
    };
    for (goals, event) in [
        (Goals::All, Event::Branch("main".to_owned())),
        (Goals::Default, Event::PullRequest(7)),
        (Goals::Release, Event::Tag("v1.2.3-rc.1".to_owned())),
    ] {
        match hoist_fuzz::plan(&release, &goals, event) {
            Err(problems) => hoist_fuzz::check(&problems, &sources),
            Ok(plan) => {
                for (at, step) in plan.steps.iter().enumerate() {
                    let before = |need: &hoist::plan::Need| (need.step.0 as usize) < at;
                    assert!(step.needs.iter().all(before), "a need points forwards: {step:?}");
                    let twice = plan.steps[..at].iter().any(|other| other.id == step.id);
                    assert!(!twice, "two steps of one name: {}", step.id);
                    let _: Vec<NeedKind> = step.needs.iter().map(|need| need.kind).collect();
                }
                drop(hoist::plan::json(&plan, &sources));
            }
        }
    }
});
