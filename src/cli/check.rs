//! `hoist check`: everything that can be known to be wrong without running.

use std::process::ExitCode;

use indexmap::IndexMap;

use crate::cli::arguments::Arguments;
use crate::cli::session::{Loaded, Session};
use crate::config::{Secret, Sign};
use crate::diagnostic::{Problems, counted};
use crate::facts::Needs;
use crate::inspect::expired;
use crate::plan::{Goals, dead_ends, shared_rules};
use crate::report::{Paint, problems_json, render_warning};
use crate::store::secret_file;

/// Reads the file and plans all of it. A fact that is missing here and now, such
/// as `{version}` away from a tag, is found by the plan as well.
pub(crate) fn check(session: &mut Session) -> Result<ExitCode, Problems> {
    let loaded = session.load()?;
    let name = loaded.project.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (targets, images) = (loaded.release.targets.len(), loaded.release.images.len());
    let stages = loaded.release.stages.len();
    let plan = session.outline(&loaded, &Goals::All, &IndexMap::new())?;
    shared_rules(&loaded.release)
        .into_iter()
        .chain(dead_ends(&loaded.release))
        .collect::<Problems>()
        .or(())?;
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
    for problem in loaded.release.literal_fields() {
        session.say(&render_warning(&problem, &session.sources, look));
    }
    for (image, name, why) in keys_that_are_missing(session, &loaded)? {
        let warn = look.paint(Paint::Warn, "!");
        session.say(&format!(
            "{warn} `{image}` is signed with `{name}`, and {why}: a release from here is refused\n"
        ));
    }
    let scans = loaded.release.images.values().flat_map(|image| &image.scans);
    for problem in scans.flat_map(|scan| expired(scan, session.host.today())) {
        let warn = look.paint(Paint::Warn, "!");
        session.say(&format!("{warn} {}, and no longer: its scan fails\n", problem.title));
    }
    Ok(ExitCode::SUCCESS)
}

/// Signing keys that are not here, as far as that is known without opening them: the
/// image, the key, and why.
fn keys_that_are_missing(
    session: &mut Session,
    loaded: &Loaded,
) -> Result<Vec<(String, String, String)>, Problems> {
    if loaded.release.images.values().all(|image| image.signs.is_empty()) {
        return Ok(Vec::new());
    }
    let environment = session.gather(loaded, &Needs::default(), &IndexMap::new())?.environment;
    let missing = |sign: &Sign| match &sign.key.value {
        Secret::Env(name) => {
            let set = environment.get(name).is_some_and(|value| !value.is_empty());
            (!set).then(|| "the variable is not set".to_owned())
        }
        Secret::File(path) => {
            let found = secret_file(path, &loaded.project.root, &environment).metadata();
            (!found.is_ok_and(|found| !found.is_dir())).then(|| "there is no such file".to_owned())
        }
        Secret::Command(_) => None,
    };
    let signs =
        loaded.release.images.values().flat_map(|image| image.signs.iter().map(move |sign| (image, sign)));
    let missing = signs
        .filter_map(|(image, sign)| Some((image.name.value.clone(), sign.key.value.place(), missing(sign)?)));
    Ok(missing.collect())
}

fn count(number: usize, noun: &str) -> Option<String> {
    (number > 0).then(|| counted(number, noun))
}
