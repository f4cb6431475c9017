//! `hoist remove`: a tag, or an image with all its tags.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::arguments::Remove;
use crate::cli::each::each_tag;
use crate::cli::place::{Places, until_signalled};
use crate::cli::run::{asker, consent};
use crate::cli::session::Session;
use crate::diagnostic::{Code, Problem, Problems, counted};
use crate::oci::{Digest, Index, Tag, media_type};
use crate::release::End;
use crate::report::{Look, status};
use crate::store::{Deletion, Repository};

/// Most tags that a message names.
const NAMED: usize = 20;

/// What is to be removed.
struct Subject {
    repository: Repository,
    /// The tag that was named; `None` for a digest.
    tag: Option<Tag>,
    digest: Digest,
    /// All tags of the image.
    tags: Vec<String>,
    /// Tags of indexes that it is the image of a platform of.
    parents: Vec<String>,
}

/// What was removed.
struct Removed {
    digest: Digest,
    /// The image, and not a tag alone.
    whole: bool,
    tags: Vec<String>,
}

pub(crate) fn remove(session: &mut Session, options: &Remove) -> Result<ExitCode, Problems> {
    let places = Places::read(session)?;
    let end = places.end(session, &options.image)?;
    if end.tag().is_none() && end.digest().is_none() {
        let problem = Problem::new(Code::InvalidReference, format!("`{}` names no image", options.image));
        return Err(problem.help("say which: add `:TAG`, or `@DIGEST`").into());
    }
    let stopped = "removing was stopped";
    let publisher = places.publisher(session);
    let subject = until_signalled(
        async {
            let repository = end.open(&publisher).await?;
            look(&end, repository).await
        },
        stopped,
    )?;
    let whole = options.all_tags || subject.tags.is_empty();
    if (whole || subject.tag.is_none()) && !subject.parents.is_empty() {
        return Err(part(&subject).into());
    }
    // By its digest, an image goes with its tags: nobody shall find that out afterwards.
    if subject.tag.is_none() && !whole {
        return Err(shared(&subject, &subject.tags.iter().collect::<Vec<_>>()).into());
    }
    ask(session, options, &subject, whole)?;
    let Removed { digest, whole, tags } = until_signalled(delete(subject, whole), stopped)?;
    if session.global.json {
        let value = json!({ "digest": digest.to_string(), "image": whole, "tags": tags });
        session.output(&format!("{value}\n"))?;
    } else {
        let tags = if tags.is_empty() { "which had no tags".to_owned() } else { tame(&tags.join(", ")) };
        session.say(&format!("removed {} ({tags})\n", if whole { "the image" } else { "the tag" }));
        session.output(&format!("{digest}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What is named, and what else names it.
async fn look(end: &End, repository: Repository) -> Result<Subject, Problem> {
    let digest = end.find(&repository).await?.digest;
    let tag = end.tag().filter(|_| end.digest().is_none());
    let (tags, parents) = bonds(&repository, digest).await?;
    Ok(Subject { repository, tag, digest, tags, parents })
}

/// The tags of an image, and those of indexes that name it.
async fn bonds(repository: &Repository, digest: Digest) -> Result<(Vec<String>, Vec<String>), Problem> {
    let look = move |repository: Repository, name: String| async move {
        bond(&repository, &name, digest).await.map(|bond| (name, bond))
    };
    let (mut tags, mut parents) = (Vec::new(), Vec::new());
    for (name, bond) in each_tag(repository, repository.tags().await?, "removing", look).await? {
        match bond {
            Bond::Same => tags.push(name),
            Bond::Parent => parents.push(name),
            Bond::None => {}
        }
    }
    tags.sort();
    parents.sort();
    Ok((tags, parents))
}

/// What a tag has to do with an image.
enum Bond {
    /// It points to it.
    Same,
    /// It points to an index that names it.
    Parent,
    None,
}

async fn bond(repository: &Repository, name: &str, image: Digest) -> Result<Bond, Problem> {
    let Some(found) = repository.resolve(name).await? else { return Ok(Bond::None) };
    if found.digest == image {
        return Ok(Bond::Same);
    }
    if !media_type::is_index(&found.media_type) {
        return Ok(Bond::None);
    }
    // What cannot be read as an index names nothing.
    let index = Index::parse(&repository.read(&found).await?).ok();
    let names_it = index.is_some_and(|index| index.manifests.iter().any(|entry| entry.digest == image));
    Ok(if names_it { Bond::Parent } else { Bond::None })
}

fn ask(session: &Session, options: &Remove, subject: &Subject, whole: bool) -> Result<(), Problem> {
    let confirm = asker(session, options.yes);
    if !options.yes {
        let what = match &subject.tag {
            Some(tag) if !whole => {
                let sole = subject.tags.len() < 2 && matches!(subject.repository, Repository::Registry(_));
                let sole = if sole {
                    "; where the registry cannot do that, the image, which has no other"
                } else {
                    ""
                };
                format!("the tag `{tag}` of {}{sole}", subject.digest)
            }
            _ => format!("{} with {}", subject.digest, named(&subject.tags.iter().collect::<Vec<_>>())),
        };
        status(&format!("This would remove {what}\n"));
    }
    consent(&confirm, "Remove?", "removed")
}

/// Removes what was agreed on.
async fn delete(mut subject: Subject, whole: bool) -> Result<Removed, Problem> {
    let Some(tag) = subject.tag.clone().filter(|_| !whole) else {
        return delete_image(subject).await;
    };
    let Deletion::NotAllowed(problem) = subject.repository.delete(tag.as_str()).await? else {
        return Ok(Removed { digest: subject.digest, whole: false, tags: vec![tag.to_string()] });
    };
    // Where the registry takes no tag away, the image can go if nothing else names it now.
    let told = |refused: Problem| problem.notes.iter().cloned().fold(refused, Problem::note);
    (subject.tags, subject.parents) = bonds(&subject.repository, subject.digest).await?;
    if !subject.parents.is_empty() {
        return Err(told(part(&subject)));
    }
    let others: Vec<_> = subject.tags.iter().filter(|name| *name != tag.as_str()).collect();
    if !others.is_empty() {
        return Err(told(shared(&subject, &others)));
    }
    delete_image(subject).await
}

async fn delete_image(Subject { repository, digest, tags, .. }: Subject) -> Result<Removed, Problem> {
    match repository.delete(&digest.to_string()).await? {
        Deletion::NotAllowed(problem) => Err(problem),
        Deletion::Absent => Err(Problem::new(Code::NotFound, format!("`{digest}` is not listed there"))
            .note("nothing was removed")),
        Deletion::Done => Ok(Removed { digest, whole: true, tags }),
    }
}

/// Images of platforms stay as long as an index names them.
fn part(subject: &Subject) -> Problem {
    let title = format!("`{}` is the image of a platform of others", subject.digest);
    let parents = named(&subject.parents.iter().collect::<Vec<_>>());
    let problem = Problem::new(Code::NotConfirmed, title).note(format!("it is part of {parents}"));
    problem.help("remove these first, with `--all-tags`")
}

/// Other tags would go, too.
fn shared(subject: &Subject, others: &[&String]) -> Problem {
    let title = match &subject.tag {
        Some(tag) => format!("the tag `{tag}` cannot be removed alone here"),
        None => format!("`{}` has {}", subject.digest, counted(others.len(), "tag")),
    };
    Problem::new(Code::NotConfirmed, title)
        .note(format!("with the image would go {}", named(others)))
        .help("`--all-tags` removes the image with all of its tags")
}

fn named(tags: &[&String]) -> String {
    if tags.is_empty() {
        return "no tag".to_owned();
    }
    let shown: Vec<_> = tags.iter().take(NAMED).map(|tag| format!("`{}`", tame(tag))).collect();
    let more = tags.len().checked_sub(NAMED).filter(|more| *more > 0);
    let more = more.map(|more| format!(" and {more} more")).unwrap_or_default();
    format!("{}{more}", shown.join(", "))
}

/// The names of a registry or a layout, as they may stand on a terminal.
fn tame(text: &str) -> String {
    Look::PLAIN.tame(text)
}
