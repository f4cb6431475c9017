//! The stage that images are taken from, where they are not built.

use crate::config::Stage;
use crate::diagnostic::{Code, Problem, Spanned};
use crate::facts::short;
use crate::release::{Running, State, ran_in};

/// The stage that the images of another one are taken from, if they are taken from one, and
/// what runs there: of several, the first where what was made from the tree of the commit, or
/// from one that nothing but deployments came behind (`since`), runs and works. Of one alone,
/// the conditions say whether it works.
///
/// # Errors
/// None of them does; the event enters one of them, too.
pub(crate) fn taken_from(
    known: &State,
    stage: &Stage,
    entered: &[&Stage],
    (commit, tree): (&str, &str),
    since: impl Fn(&str) -> bool,
) -> Result<Option<(String, Running)>, Problem> {
    // What is entered by the same event has nothing to give yet.
    let now = |from: &str| entered.iter().find(|other| other.name.value == *from);
    let sources: Vec<&Spanned<String>> =
        stage.from.iter().filter(|from| now(&from.value).is_none()).collect();
    if let (Some(from), []) = (stage.from.first(), sources.as_slice())
        && let Some(other) = now(&from.value)
    {
        return Err(at_once(stage, other).label(from.span, "its images are taken from there"));
    }
    let ran = |from: &str| ran_in(known, from, (commit, tree));
    let followed = |from: &str| {
        let running = known.running(from).filter(|running| !running.entry.dirty)?;
        since(&running.entry.commit).then_some(running)
    };
    let same = sources.iter().filter_map(|from| Some((&from.value, ran(&from.value).ok()?)));
    let behind = sources.iter().filter_map(|from| Some((&from.value, followed(&from.value)?)));
    let mut unproved = Vec::new();
    for (from, running) in same.chain(behind) {
        match known.unproved(from) {
            Some(why) if sources.len() > 1 => unproved.push((from, running, why)),
            _ => return Ok(Some((from.clone(), running.clone()))),
        }
    }
    let unfit = sources.iter().filter_map(|from| {
        let problem = match unproved.iter().find(|(name, ..)| **name == from.value) {
            Some((name, Running { entry, .. }, why)) => {
                let title = format!("`{name}` runs {} of commit {}, {why}", entry.version, entry.short());
                Problem::new(Code::NotPromotable, title)
            }
            None => ran(&from.value).err()?,
        };
        Some((from.span, problem))
    });
    let unfit: Vec<_> = unfit.collect();
    Err(match unfit.as_slice() {
        [] => return Ok(None),
        [(span, problem)] => problem.clone().label(*span, "its images are taken from there"),
        several => {
            let names: Vec<_> = stage.from.iter().map(|from| format!("`{}`", from.value)).collect();
            let does = if unproved.is_empty() { "runs" } else { "works" };
            let (names, short) = (names.join(", "), short(commit));
            let title = format!("commit {short} {does} in none of {names}, and is not built again");
            let name = &stage.name.value;
            let problem = Problem::new(Code::NotPromotable, title).help(format!(
                "release this commit to one of them first, or `hoist promote {name} --from STAGE` takes what runs there"
            ));
            several.iter().fold(problem, |problem, (span, why)| {
                let why = why.notes.first().unwrap_or(&why.title);
                problem.label(*span, "one of these").note(why)
            })
        }
    })
}

/// Two stages, one behind the other, that one event would enter.
fn at_once(stage: &Stage, other: &Stage) -> Problem {
    let (name, from) = (&stage.name.value, &other.name.value);
    let title = format!("one event enters `{name}`, and `{from}`, where its images have to run before");
    Problem::new(Code::NotPromotable, title)
        .label(stage.name.span, "comes from the other")
        .label(other.name.span, "entered by the same event")
        .help(format!("give them different events; `hoist promote {name}` enters it by hand"))
}
