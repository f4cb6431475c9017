//! `hoist inspect`: what an image is made of, or which tags a repository has.

use std::collections::BTreeSet;
use std::process::ExitCode;

use serde_json::json;

use crate::cli::arguments::Inspect;
use crate::cli::each::each_tag;
use crate::cli::place::{Places, platform, until_signalled};
use crate::cli::report::write;
use crate::cli::session::Session;
use crate::diagnostic::{Code, Problem, Problems};
use crate::inspect::{ImageReport, TagReport, View, image, tagged};
use crate::oci::Descriptor;
use crate::release::End;
use crate::report::{inspection, inspection_json, tag_list, tag_list_json, treemap};
use crate::store::Repository;

/// What is inspected.
enum Subject {
    Image(Repository, Box<Descriptor>),
    /// All tags of a repository, named so.
    Tags(Repository, String),
}

pub(crate) fn inspect(session: &mut Session, options: &Inspect) -> Result<ExitCode, Problems> {
    let platform = options.platform.as_deref().map(platform).transpose()?;
    let places = Places::read(session)?;
    let stopped = "inspecting was stopped";
    let (repository, descriptor) = match until_signalled(subject(session, &places, &options.image), stopped)?
    {
        Subject::Image(repository, descriptor) => (repository, descriptor),
        Subject::Tags(repository, name) => return list(session, options, &repository, &name),
    };
    let bare = options.digest || options.label.is_some();
    // What lies here is read in no time.
    let files = options.files || options.html.is_some() || matches!(repository, Repository::Layout(_));
    if options.digest && platform.is_none() {
        return say(session, "digest", &descriptor.digest.to_string());
    }
    let view = View { platform, files: files && !bare, referrers: !bare };
    let report = until_signalled(image(&repository, &descriptor, &view), stopped)?;
    if let (true, [only]) = (options.digest, report.platforms.as_slice()) {
        return say(session, "digest", &only.manifest.digest.to_string());
    }
    if let Some(name) = &options.label {
        return say(session, "value", &label(&report, name)?);
    }
    if let Some(file) = &options.html {
        let file = session.host.directory.join(file);
        write(&file, &treemap(&report, &options.image))?;
        session.say(&format!("wrote {}\n", file.display()));
        return Ok(ExitCode::SUCCESS);
    }
    let text = if session.global.json {
        format!("{}\n", inspection_json(&report))
    } else {
        inspection(&report, options.top, session.output_look())
    };
    session.output(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// One value as a line of its own, for scripts.
fn say(session: &Session, key: &str, value: &str) -> Result<ExitCode, Problems> {
    let line = if session.global.json { json!({ key: value }).to_string() } else { value.to_owned() };
    session.output(&format!("{line}\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// The value that all images have for a label.
fn label(report: &ImageReport, name: &str) -> Result<String, Problem> {
    let values = report.platforms.iter().map(|image| image.config.config.labels.get(name));
    let values: BTreeSet<_> = values.collect();
    match (values.len(), values.first()) {
        (1, Some(Some(value))) => Ok((*value).clone()),
        (0 | 1, _) => {
            let names = report.platforms.iter().flat_map(|image| image.config.config.labels.keys());
            let names: BTreeSet<_> = names.map(|name| format!("`{name}`")).collect();
            let help = match names.len() {
                0 => "it has no labels".to_owned(),
                _ => format!("it has {}", names.into_iter().collect::<Vec<_>>().join(", ")),
            };
            Err(Problem::new(Code::NotFound, format!("the image has no label `{name}`")).help(help))
        }
        _ => {
            let title = format!("the label `{name}` is not the same for all platforms");
            Err(Problem::new(Code::NotFound, title).help("name one with `--platform`"))
        }
    }
}

async fn subject(session: &Session, places: &Places, text: &str) -> Result<Subject, Problem> {
    // Nobody means an image of Docker Hub by one word.
    let end = if text.contains(['/', ':', '@']) {
        places.source(session, text)?
    } else {
        places.built(session, text)?
    };
    let repository = end.open_to_read(&places.publisher(session)).await?;
    match (&end, &repository) {
        (End::Layout { name: None, .. }, Repository::Layout(layout)) => match layout.only() {
            Ok(only) => Ok(Subject::Image(repository, Box::new(only))),
            Err(problem) if layout.refs()?.is_empty() => Err(problem),
            Err(_) => Ok(Subject::Tags(repository, text.to_owned())),
        },
        (End::Registry { reference, .. }, _) if reference.tag.is_none() && reference.digest.is_none() => {
            Ok(Subject::Tags(repository, text.to_owned()))
        }
        _ => {
            let found = end.find(&repository).await?;
            Ok(Subject::Image(repository, Box::new(found)))
        }
    }
}

/// All tags of a repository. Names alone need one request for a thousand of them.
fn list(
    session: &Session,
    options: &Inspect,
    repository: &Repository,
    name: &str,
) -> Result<ExitCode, Problems> {
    let one = options.platform.is_some() || options.digest || options.label.is_some() || options.files;
    if one || options.html.is_some() {
        let title = format!("`{name}` names a repository, not an image");
        return Err(Problem::new(Code::InvalidReference, title)
            .help(format!("name a tag: `{name}:TAG`"))
            .into());
    }
    let bare = session.global.quiet;
    let work = async {
        let mut tags = repository.tags().await?;
        // Registries have them in any order.
        tags.sort_by(|one, other| natural(one).cmp(&natural(other)));
        let reports = if bare { Vec::new() } else { look_at(repository, tags.clone()).await? };
        Ok::<_, Problem>((tags, reports))
    };
    let (names, reports) = until_signalled(work, "inspecting was stopped")?;
    if names.is_empty() {
        let problem = Problem::new(Code::NotFound, format!("`{name}` has no tags"));
        return Err(problem.help("nothing was pushed there, or it is spelled otherwise").into());
    }
    let lines = |line: &dyn Fn(&String) -> String| names.iter().map(line).collect::<Vec<_>>().concat();
    let text = match (bare, session.global.json) {
        (true, false) => lines(&|tag| format!("{}\n", session.output_look().tame(tag))),
        (true, true) => lines(&|tag| format!("{}\n", json!({ "tag": tag }))),
        (false, true) => tag_list_json(&reports),
        (false, false) => tag_list(&reports, session.output_look()),
    };
    session.output(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The words and numbers of a tag, so that `1.9` comes before `1.10`.
fn natural(tag: &str) -> Vec<(Option<u64>, &str)> {
    let mut parts = Vec::new();
    let mut rest = tag;
    while let Some(first) = rest.chars().next() {
        let is_number = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != is_number).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        // What has too many digits for a number is a word.
        parts.push((part.parse().ok(), part));
        rest = after;
    }
    parts
}

/// What tags point to, in their order.
async fn look_at(repository: &Repository, tags: Vec<String>) -> Result<Vec<TagReport>, Problem> {
    let look = |repository: Repository, tag: String| async move { tagged(&repository, &tag).await };
    let found = each_tag(repository, tags, "inspecting", look).await?;
    Ok(found.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_in_the_order_that_people_expect() {
        let mut tags = vec!["1.10", "latest", "1.9", "1", "1.9-rc.1", "99999999999999999999999", "a1b"];
        tags.sort_by(|one, other| natural(one).cmp(&natural(other)));
        assert_eq!(tags, ["99999999999999999999999", "a1b", "latest", "1", "1.9", "1.9-rc.1", "1.10"]);
    }
}
