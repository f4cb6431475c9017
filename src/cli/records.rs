//! Finding a run by what a user types.

use std::path::Path;

use jiff::Timestamp;

use crate::diagnostic::{Code, Problem};
use crate::report::Story;
use crate::run::{Event, Happening, events, is_written, outline, recorded};

/// The id of the run that is meant: by its id or a part of it that no other has;
/// without a name the newest that is no part of another.
///
/// # Errors
/// Nothing has run, or no run or several are meant ([`Code::NoRecord`]).
pub(crate) fn find(root: &Path, named: Option<&str>) -> Result<String, Problem> {
    let all = recorded(root);
    let Some(named) = named else {
        let newest = all.iter().find(|id| whole_of(root, id).is_none_or(|whole| !all.contains(&whole)));
        return newest.cloned().ok_or_else(|| {
            let problem = Problem::new(Code::NoRecord, "nothing has run here yet");
            problem.help("run something, such as `hoist run`")
        });
    };
    let mut meant: Vec<&String> = all.iter().filter(|id| id.contains(named)).collect();
    if let Some(exact) = all.iter().find(|id| *id == named) {
        meant = vec![exact];
    }
    match meant.as_slice() {
        [id] => Ok((*id).clone()),
        [] => Err(Problem::new(Code::NoRecord, format!("no run `{named}` is recorded"))
            .help("`hoist log --runs` lists those that are")),
        several => {
            let title = format!("`{named}` is a part of the ids of {} runs", several.len());
            let help = several.first().map(|id| format!("the newest of them is `{id}`"));
            Err(Problem::new(Code::NoRecord, title).maybe_help(help))
        }
    }
}

/// The run that another one is part of.
pub(crate) fn whole_of(root: &Path, id: &str) -> Option<String> {
    match outline(root, id).ok()?.next()?.what {
        Happening::RunStarted(started) => started.part_of,
        _ => None,
    }
}

/// The events of a run.
///
/// # Errors
/// The record cannot be read ([`Code::NoRecord`]).
pub(crate) fn read(root: &Path, id: &str) -> Result<impl Iterator<Item = Event> + use<>, Problem> {
    events(root, id).map_err(|error| {
        Problem::new(Code::NoRecord, format!("the record of the run {id} cannot be read"))
            .note(error.to_string())
            .help("`hoist log --runs` lists the runs that are recorded")
    })
}

/// The stories of the newest runs before one, the newest first, without what steps wrote.
/// What cannot be read, or has just begun, is left out.
pub(crate) fn before(root: &Path, id: &str, most: usize) -> impl Iterator<Item = Story> {
    let earlier = recorded(root).into_iter().filter(move |other| other.as_str() < id).take(most);
    earlier.filter_map(move |other| {
        let live = is_written(root, &other);
        let story = Story::of(outline(root, &other).ok()?);
        let cut_off = story.ended.is_none() && !live;
        story.started.is_some().then_some(Story { cut_off, ..story })
    })
}

/// The story that some events of a run tell: until now if it still goes on, and
/// whether hoist was killed before its end.
pub(crate) fn story(root: &Path, id: &str, events: impl IntoIterator<Item = Event>, now: Timestamp) -> Story {
    // Before the events are read: what is written then has an end a moment later.
    let live = is_written(root, id);
    let story = Story::of(events);
    let ended = story.ended.is_some();
    Story { cut_off: !ended && !live, latest: if live && !ended { Some(now) } else { story.latest }, ..story }
}
