//! `hoist inspect`: what an image is made of, or which tags a repository has.

use std::collections::BTreeSet;
use std::process::ExitCode;

use serde_json::json;

use crate::cli::arguments::Inspect;
use crate::cli::place::{Places, platform, until_signalled};
use crate::cli::report::write;
use crate::cli::session::Session;
use crate::diagnostic::{Code, Problem, Problems};
use crate::inspect::{ImageReport, PlatformReport, TagReport, View, image, image_of, tagged};
use crate::oci::{Descriptor, Reference, RepositoryName, list_tag};
use crate::release::{End, repository_meant};
use crate::report::{Look, inspection, inspection_json, tag_list, tag_list_json, treemap};
use crate::store::{Registry, Repository, each};

/// What is inspected.
enum Subject {
    /// One image, with its manifest or index if it was read, and the names that it has in a
    /// layout of which none was asked for.
    Image(Repository, Box<Descriptor>, Option<Vec<u8>>, Vec<String>),
    /// All tags of a repository, named so.
    Tags(Repository, String),
    /// All repositories of a registry.
    Repositories(Registry),
}

pub(crate) fn inspect(session: &mut Session, options: &Inspect) -> Result<ExitCode, Problems> {
    let platform = options.platform.as_deref().map(platform).transpose()?;
    let places = Places::read_for(session, &[&options.image])?;
    let stopped = "inspecting was stopped";
    let more = options.files || options.html.is_some() || options.label.is_some();
    let digest_alone = options.digest || (session.global.quiet && !more);
    let is_read = !digest_alone || platform.is_some();
    let subject = until_signalled(subject(session, &places, &options.image, is_read), stopped)?;
    let (repository, descriptor, document, names) = match subject {
        Subject::Image(repository, descriptor, document, names) => (repository, descriptor, document, names),
        Subject::Tags(repository, name) => return list(session, options, &repository, &name),
        Subject::Repositories(registry) => return catalogue(session, options, &registry),
    };
    let bare = digest_alone || options.label.is_some();
    // What lies here is read in no time.
    let files = options.files || options.html.is_some() || matches!(repository, Repository::Layout(_));
    if !is_read {
        return say(session, "digest", &descriptor.digest.to_string());
    }
    let view = View { platform, files: files && !bare, referrers: !bare };
    let look = async {
        match document {
            Some(document) => image_of(&repository, (&descriptor, document), &view).await,
            None => image(&repository, &descriptor, &view).await,
        }
    };
    let report = until_signalled(look, stopped)?;
    if let (true, [only]) = (digest_alone, report.platforms.as_slice()) {
        return say(session, "digest", &only.manifest.digest.to_string());
    }
    if let Some(name) = &options.label {
        return say(session, "value", &label(&report, name)?);
    }
    if options.files || options.html.is_some() {
        report.platforms.iter().try_for_each(all_here)?;
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
        if names.len() > 1 {
            let look = session.status_look();
            session.say(&format!("{} tags, one image: {}\n", names.len(), look.tame(&names.join(", "))));
        }
        inspection(&report, options.top, session.output_look())
    };
    session.output(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Refuses to show files of which some are kept elsewhere.
fn all_here(image: &PlatformReport) -> Result<(), Problem> {
    if image.files.is_some() {
        return Ok(());
    }
    let title = format!("the files of `{}` are not all here", image.manifest.digest);
    let problem = Problem::new(Code::NotAvailable, title);
    Err(image.elsewhere().into_iter().fold(problem, |problem, (layer, urls)| {
        problem.note(format!("the layer {} is kept at {}", layer.digest.short(), urls.join(" ")))
    }))
}

/// One value as a line of its own, for scripts. A terminal gets it without what would
/// steer it.
fn say(session: &Session, key: &str, value: &str) -> Result<ExitCode, Problems> {
    let tame = || value.lines().map(|line| session.output_look().tame(line)).collect::<Vec<_>>().join("\n");
    let line = match (session.global.json, session.host.output_is_terminal) {
        (true, _) => json!({ key: value }).to_string(),
        (false, true) => tame(),
        (false, false) => value.to_owned(),
    };
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

/// What a text names. The manifest or index of an image is read with it, if that `is_read`
/// at all: a registry then gives both at once.
async fn subject(session: &Session, places: &Places, text: &str, is_read: bool) -> Result<Subject, Problem> {
    if let Some(name) = host(text).filter(|_| !places.declares(text)) {
        let reference = Reference { repository: name.clone(), tag: None, digest: None };
        let end = End::Registry { reference, registry: Box::new(places.registry(&name)) };
        if let Repository::Registry(registry) = end.open_to_read(&places.publisher(session)).await? {
            return Ok(Subject::Repositories(registry));
        }
    }
    // Nobody means an image of Docker Hub by one word.
    let end = if text.contains(['/', ':', '@']) {
        places.source(session, text)?
    } else {
        places.built(session, text)?
    };
    let repository = end.open_to_read(&places.publisher(session)).await?;
    match (&end, &repository) {
        (End::Layout { name: None, .. }, Repository::Layout(layout)) => match layout.only() {
            Ok(only) => {
                let names = layout.refs()?.into_iter().map(|(name, _)| name);
                let names = names.filter(|name| !is_list(name)).collect();
                Ok(Subject::Image(repository, Box::new(only), None, names))
            }
            Err(problem) if layout.refs()?.is_empty() => Err(problem),
            Err(_) => Ok(Subject::Tags(repository, text.to_owned())),
        },
        (End::Registry { reference, .. }, _) if reference.is_bare() => {
            Ok(Subject::Tags(repository, text.to_owned()))
        }
        _ => {
            let (found, document) = if is_read {
                let (found, document) = end.fetch(&repository).await?;
                (found, Some(document))
            } else {
                (end.find(&repository).await?, None)
            };
            Ok(Subject::Image(repository, Box::new(found), document, Vec::new()))
        }
    }
}

/// The registry that a text names, as some repository there: a host with a dot or a `/`
/// behind it, with a port or without.
fn host(text: &str) -> Option<RepositoryName> {
    let host = text.strip_prefix("https://").unwrap_or(text);
    let bare = host.trim_end_matches('/');
    let (name, port) = match bare.split_once(']') {
        // An address of IPv6 has colons of its own.
        Some((address, port)) => (address, if port.is_empty() { "0" } else { port.strip_prefix(':')? }),
        None => bare.split_once(':').unwrap_or((host, "0")),
    };
    let is_host = host.ends_with('/')
        || name.starts_with('[')
        || name.trim_end_matches('/').contains('.')
        || name == "localhost";
    if !is_host || host.trim_end_matches('/').contains('/') || port.parse::<u16>().is_err() {
        return None;
    }
    format!("{}/x/x", host.trim_end_matches('/')).parse().ok()
}

/// Refuses what can only be asked of one image.
fn only_of_images(options: &Inspect, name: &str, kind: &str, help: String) -> Result<(), Problem> {
    let one = options.platform.is_some() || options.digest || options.label.is_some() || options.files;
    if one || options.html.is_some() {
        let title = format!("`{name}` names a {kind}, not an image");
        return Err(Problem::new(Code::InvalidReference, title).help(help));
    }
    Ok(())
}

/// All repositories of a registry, by the names that can be typed.
fn catalogue(session: &Session, options: &Inspect, registry: &Registry) -> Result<ExitCode, Problems> {
    let host = registry.name().host();
    only_of_images(options, host, "registry", format!("name an image: `{host}/REPOSITORY:TAG`"))?;
    let mut paths = until_signalled(registry.repositories(), "inspecting was stopped")?;
    paths.sort();
    if paths.is_empty() {
        let problem = Problem::new(Code::NotFound, format!("`{host}` lists no repositories"));
        let help = "it has none, or shows them to nobody; name one: `hoist inspect HOST/REPOSITORY`";
        return Err(problem.help(help).into());
    }
    let line = |path: &String| {
        if session.global.json {
            format!("{}\n", json!({ "repository": format!("{host}/{path}") }))
        } else {
            format!("{host}/{}\n", session.output_look().tame(path))
        }
    };
    session.output(&paths.iter().map(line).collect::<Vec<_>>().concat())?;
    Ok(ExitCode::SUCCESS)
}

/// All tags of a repository. Names alone need one request for a thousand of them.
fn list(
    session: &Session,
    options: &Inspect,
    repository: &Repository,
    name: &str,
) -> Result<ExitCode, Problems> {
    only_of_images(options, name, "repository", format!("name a tag: `{name}:TAG`"))?;
    let bare = session.global.quiet;
    let work = async {
        let mut tags = repository.tags().await?;
        if let (true, Repository::Registry(registry)) = (tags.is_empty(), repository) {
            let problem = Problem::new(Code::NotFound, format!("`{name}` has no tags"));
            return Err(problem.help(repository_meant(registry).await));
        }
        // Registries have them in any order.
        tags.sort_by(|one, other| (is_list(one), natural(one)).cmp(&(is_list(other), natural(other))));
        let reports = if bare { Vec::new() } else { look_at(repository, tags.clone()).await? };
        Ok::<_, Problem>((tags, reports))
    };
    let (names, reports) = until_signalled(work, "inspecting was stopped")?;
    let lines = |line: &dyn Fn(&String) -> String| names.iter().map(line).collect::<Vec<_>>().concat();
    let look = session.output_look();
    let text = match (bare, session.global.json) {
        (true, false) => lines(&|tag| format!("{}\n", look.tame(tag))),
        (true, true) => lines(&|tag| format!("{}\n", json!({ "tag": tag }))),
        (false, true) => tag_list_json(&reports),
        // Whoever reads it line by line gets whole lines.
        (false, false) if !session.host.output_is_terminal => {
            tag_list(&reports, Look { width: usize::MAX, ..look })
        }
        (false, false) => tag_list(&reports, look),
    };
    session.output(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Whether a tag is no name of an image, but of the list of what is attached to one.
fn is_list(tag: &str) -> bool {
    list_tag(tag).is_some()
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

/// What tags point to, in their order. One that cannot be read hides no other.
async fn look_at(repository: &Repository, tags: Vec<String>) -> Result<Vec<TagReport>, Problem> {
    let look = |repository: Repository, tag: String| async move { Ok(tagged(&repository, &tag).await) };
    let found = each(repository, tags, look).await?;
    let mut reports: Vec<TagReport> = found.into_iter().flatten().collect();
    if reports.iter().all(|report| report.image.is_err())
        && let Some(TagReport { image: Err(problem), .. }) = reports.pop()
    {
        return Err(problem);
    }
    Ok(reports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_told_from_an_image() {
        for text in
            ["ghcr.io", "ghcr.io/", "localhost:5000", "127.0.0.1:5000", "registry:5000/", "https://quay.io"]
                .into_iter()
                .chain(["[::1]", "[::1]:5000", "https://[::1]:5000/"])
        {
            assert!(host(text).is_some_and(|name| name.path() == "x/x"), "{text}");
        }
        for text in [
            "alpine",
            "alpine:3",
            "ghcr.io/acme",
            "web:1.2.3",
            "oci:dist",
            "a.b:1.2",
            "[::1]:5000/web",
            "[::1]:5000/web:1",
            "alpine@sha256:0",
        ] {
            assert_eq!(host(text), None, "{text}");
        }
    }

    #[test]
    fn tags_are_in_the_order_that_people_expect() {
        let mut tags = vec!["1.10", "latest", "1.9", "1", "1.9-rc.1", "99999999999999999999999", "a1b"];
        tags.sort_by(|one, other| natural(one).cmp(&natural(other)));
        assert_eq!(tags, ["99999999999999999999999", "a1b", "latest", "1", "1.9", "1.9-rc.1", "1.10"]);
        let digest = "0123456789abcdef".repeat(4);
        for list in [format!("sha256-{digest}"), format!("sha256-{digest}.sig")] {
            assert!(is_list(&list), "{list}");
        }
        assert!(!is_list("sha256-1") && !is_list("1.0") && !is_list(&digest));
    }
}
