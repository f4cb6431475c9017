//! `hoist check`: everything that can be known to be wrong without running.

use std::process::ExitCode;

use indexmap::IndexMap;

use crate::cli::arguments::Arguments;
use crate::cli::session::Session;
use crate::diagnostic::{Problems, counted};
use crate::plan::Goals;
use crate::report::{Paint, problems_json};

/// Reads the file and plans all of it. A fact that is missing here and now, such
/// as `{version}` away from a tag, is found by the plan as well.
pub(crate) fn check(session: &mut Session) -> Result<ExitCode, Problems> {
    let loaded = session.load()?;
    let name = loaded.project.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (targets, images) = (loaded.release.targets.len(), loaded.release.images.len());
    let stages = loaded.release.stages.len();
    let plan = session.outline(&loaded, &Goals::All, &IndexMap::new())?;
    if session.global.json {
        session.output(&format!("{}\n", problems_json(&Problems::new(), &session.sources)))?;
        return Ok(ExitCode::SUCCESS);
    }
    let look = session.status_look();
    let counts = [count(targets, "target"), count(images, "image"), count(stages, "stage")];
    let counts: Vec<_> = counts.into_iter().flatten().collect();
    let declares = match count(plan.steps.len(), "step") {
        Some(steps) => format!("{}; {steps}", counts.join(", ")),
        None => "it declares no target and no image yet".to_owned(),
    };
    let good = look.paint(Paint::Good, if look.unicode { "✓" } else { "ok:" });
    session.say(&format!("{good} {name} is right: {declares}\n"));
    for target in Arguments::commands().iter().filter(|command| loaded.release.declared(command).is_some()) {
        let warn = look.paint(Paint::Warn, "!");
        session.say(&format!(
            "{warn} `{target}` is a command, too: `hoist run {target}` runs what the file declares\n"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn count(number: usize, noun: &str) -> Option<String> {
    (number > 0).then(|| counted(number, noun))
}
