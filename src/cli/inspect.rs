//! `hoist inspect`: what an image is made of.

use std::process::ExitCode;

use crate::cli::arguments::Inspect;
use crate::cli::session::Session;
use crate::diagnostic::{Code, Problem, Problems};
use crate::inspect::image;
use crate::oci::Descriptor;
use crate::plan::{StepId, Verb};
use crate::report::{inspection, inspection_json};
use crate::store::Layout;

pub(crate) fn inspect(session: &mut Session, options: &Inspect) -> Result<ExitCode, Problems> {
    let (layout, descriptor) = match options.image.strip_prefix("oci:") {
        Some(place) => in_layout(session, place)?,
        None => built(session, &options.image)?,
    };
    let report = image(&layout, &descriptor)?;
    let text = if session.global.json {
        format!("{}\n", inspection_json(&report))
    } else {
        inspection(&report, session.output_look())
    };
    session.output(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// `DIR`, `DIR:TAG`, or `DIR@DIGEST`: a directory may have a colon in its name.
pub(crate) fn split_layout<'a>(session: &Session, place: &'a str) -> (&'a str, Option<&'a str>) {
    let split = place.split_once('@').or_else(|| place.rsplit_once(':'));
    match split {
        Some((directory, name)) if !session.host.directory.join(place).is_dir() => (directory, Some(name)),
        _ => (place, None),
    }
}

fn in_layout(session: &Session, place: &str) -> Result<(Layout, Descriptor), Problem> {
    let (directory, name) = split_layout(session, place);
    let layout = Layout::open(session.host.directory.join(directory))?;
    let Some(name) = name else {
        let only = layout.only()?;
        return Ok((layout, only));
    };
    let found = layout.resolve(name)?.ok_or_else(|| {
        let names: Vec<_> = layout.refs().unwrap_or_default().into_iter().map(|(name, _)| name).collect();
        let problem = Problem::new(Code::NotFound, format!("`{directory}` has no image `{name}`"));
        problem.maybe_help((!names.is_empty()).then(|| format!("it has {}", names.join(", "))))
    })?;
    Ok((layout, found))
}

/// The image of the file as it was built last.
fn built(session: &mut Session, name: &str) -> Result<(Layout, Descriptor), Problems> {
    let loaded = session.load()?;
    if !loaded.release.images.contains_key(name) {
        let title = format!("there is no image `{name}`");
        let known: Vec<_> = loaded.release.images.keys().map(|known| format!("`{known}`")).collect();
        let known = if known.is_empty() { String::new() } else { format!("{}, or ", known.join(", ")) };
        let help = format!("name {known}a layout as `oci:DIR:TAG`");
        return Err(Problem::new(Code::UnknownTarget, title).help(help).into());
    }
    let cache = session.cache(&loaded.release, &loaded.project)?;
    let last = cache.last(&StepId::of(name, Verb::Index, None)).and_then(|last| last.record.image);
    let image = last.ok_or_else(|| {
        let problem = Problem::new(Code::NoRecord, format!("`{name}` has not been built here yet"));
        problem.help(format!("build it with `hoist run {name}`"))
    })?;
    Ok((cache.images().clone(), image))
}
