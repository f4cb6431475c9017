//! `hoist remove`: tags, or images with all their tags.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::arguments::Remove;
use crate::cli::place::{Places, until_signalled};
use crate::cli::run::{asker, consent};
use crate::cli::session::Session;
use crate::diagnostic::{Code, Problem, Problems, bytes, counted};
use crate::oci::{Digest, Index, Tag, media_type};
use crate::release::{End, Publisher};
use crate::report::{Look, status};
use crate::store::{Collected, Deletion, Repository, each};

/// Most tags that a message names.
const NAMED: usize = 20;
/// No image has this digest: whether a registry lets one delete images is seen by what it
/// says of it.
const NOBODY: &[u8] = b"an image that nobody has made";
/// Begins what a registry says that allows no deletion; others may not like the digest.
const METHOD_NOT_ALLOWED: &str = "405";

/// An image that is to be removed, or some of its tags.
struct Subject {
    repository: Repository,
    /// The tags that were named; none for a digest.
    named: Vec<Tag>,
    digest: Digest,
    /// The image with all of its tags, and not the named ones alone.
    whole: bool,
    bonds: Bonds,
}

/// What else has to do with an image.
#[derive(Default)]
struct Bonds {
    /// All its tags.
    tags: Vec<String>,
    /// Tags of indexes that it is the image of a platform of.
    parents: Vec<String>,
    /// Tags of which it is not known what they hold.
    unknown: Vec<String>,
}

/// What was removed.
struct Removed {
    digest: Digest,
    /// The image, and not tags alone.
    whole: bool,
    tags: Vec<String>,
}

pub(crate) fn remove(session: &mut Session, options: &Remove) -> Result<ExitCode, Problems> {
    let places = Places::read(session)?;
    let mut ends = Vec::new();
    for image in &options.images {
        let end = places.end(session, image)?;
        if end.tag().is_none() && end.digest().is_none() {
            let problem = Problem::new(Code::InvalidReference, format!("`{image}` names no image"));
            return Err(problem.help("say which: add `:TAG`, or `@DIGEST`").into());
        }
        ends.push(end);
    }
    let stopped = "removing was stopped";
    let publisher = places.publisher(session);
    let subjects = until_signalled(subjects(&ends, &publisher, options.all_tags), stopped)?;
    for subject in &subjects {
        allowed(subject)?;
    }
    ask(session, options, &subjects)?;
    let repositories: Vec<Repository> = subjects.iter().map(|subject| subject.repository.clone()).collect();
    let names: Vec<String> = subjects.iter().map(what).collect();
    let mut removed = Vec::new();
    let work = async {
        for subject in subjects {
            removed.push(delete(subject).await?);
        }
        Ok::<_, Problem>(())
    };
    let done = until_signalled(work, stopped);
    for one in &removed {
        tell(session, one)?;
    }
    collect(session, repositories);
    done.map_err(|problem| in_part(problem, removed.len(), &names))?;
    Ok(ExitCode::SUCCESS)
}

/// Says what was removed.
fn tell(session: &Session, Removed { digest, whole, tags }: &Removed) -> Result<(), Problems> {
    if session.global.json {
        let value = json!({ "digest": digest.to_string(), "image": whole, "tags": tags });
        return session.output(&format!("{value}\n"));
    }
    let what = match (whole, tags.len()) {
        (true, _) => "the image",
        (false, 1) => "the tag",
        (false, _) => "the tags",
    };
    let tags = if tags.is_empty() { "which had no tags".to_owned() } else { tame(&tags.join(", ")) };
    session.say(&format!("removed {what} ({tags})\n"));
    session.output(&format!("{digest}\n"))
}

/// Removes blobs of layouts that nothing needs any more. It is a service: where it fails,
/// what was asked for is done all the same.
fn collect(session: &Session, repositories: Vec<Repository>) {
    let mut done: Vec<Repository> = Vec::new();
    for repository in repositories {
        let Repository::Layout(layout) = &repository else { continue };
        if done.iter().any(|known| known.is_same(&repository)) {
            continue;
        }
        let said = match layout.collect() {
            Ok(Some(Collected { blobs: 0, .. })) => None,
            Ok(Some(freed)) => Some(format!(
                "removed {} that nothing needs any more, {}\n",
                counted(freed.blobs, "blob"),
                bytes(freed.bytes)
            )),
            Ok(None) => Some("blobs were left: whether anything needs them is not sure now\n".to_owned()),
            Err(problem) => Some(format!("blobs were left: {}\n", problem.title)),
        };
        if let Some(said) = said.filter(|_| !session.global.json) {
            session.say(&said);
        }
        done.push(repository);
    }
}

/// What is named, each image once, and what else names it.
async fn subjects(ends: &[End], publisher: &Publisher, all_tags: bool) -> Result<Vec<Subject>, Problem> {
    let mut subjects: Vec<Subject> = Vec::new();
    for end in ends {
        let repository = end.open(publisher).await?;
        let digest = end.find(&repository).await?.digest;
        let tag = end.tag().filter(|_| end.digest().is_none());
        let known =
            subjects.iter_mut().find(|known| known.digest == digest && known.repository.is_same(&repository));
        if let Some(known) = known {
            known.whole |= tag.is_none();
            known.named.extend(tag);
            known.named.dedup();
            continue;
        }
        let bonds = bonds(&repository, digest).await?;
        let whole = all_tags || tag.is_none() || bonds.tags.is_empty();
        subjects.push(Subject { repository, named: tag.into_iter().collect(), digest, whole, bonds });
    }
    for subject in &mut subjects {
        // By its digest, an image goes with its tags: nobody shall find that out afterwards.
        let agreed = all_tags || subject.others().is_empty();
        if subject.whole && !agreed {
            return Err(shared(subject));
        }
    }
    Ok(subjects)
}

impl Subject {
    /// Its tags that were not named.
    fn others(&self) -> Vec<&String> {
        let named = |name: &&String| self.named.iter().any(|tag| tag.as_str() == *name);
        self.bonds.tags.iter().filter(|name| !named(name)).collect()
    }
}

/// Refuses what would break an index.
fn allowed(subject: &Subject) -> Result<(), Problem> {
    if subject.whole && !subject.bonds.parents.is_empty() { Err(part(subject)) } else { Ok(()) }
}

/// The tags of an image, and those of indexes that name it.
async fn bonds(repository: &Repository, digest: Digest) -> Result<Bonds, Problem> {
    let look = move |repository: Repository, name: String| async move {
        let bond = bond(&repository, &name, digest).await;
        Ok((name, bond))
    };
    let mut bonds = Bonds::default();
    for (name, bond) in each(repository, repository.tags().await?, look).await? {
        match bond {
            Ok(Bond::Same) => bonds.tags.push(name),
            Ok(Bond::Parent) => bonds.parents.push(name),
            Ok(Bond::None) => {}
            Err(_) => bonds.unknown.push(name),
        }
    }
    bonds.tags.sort();
    bonds.parents.sort();
    bonds.unknown.sort();
    Ok(bonds)
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

fn ask(session: &Session, options: &Remove, subjects: &[Subject]) -> Result<(), Problem> {
    for Subject { bonds, digest, whole, .. } in subjects {
        if *whole && !bonds.unknown.is_empty() {
            let unknown = named(&bonds.unknown.iter().collect::<Vec<_>>());
            session.say(&format!("what {unknown} holds cannot be read: it may need {digest}\n"));
        }
    }
    let confirm = asker(session, options.yes);
    if !options.yes {
        for subject in subjects {
            let sole = !subject.whole
                && subject.others().is_empty()
                && matches!(subject.repository, Repository::Registry(_));
            let sole =
                if sole { "; where the registry cannot do that, the image, which has no other" } else { "" };
            status(&format!("This would remove {}{sole}\n", what(subject)));
        }
    }
    consent(&confirm, "Remove?", "removed")
}

/// What would be removed, in words.
fn what(subject: &Subject) -> String {
    let Subject { named: tags, digest, whole, bonds, .. } = subject;
    if *whole {
        return format!("{digest} with {}", named(&bonds.tags.iter().collect::<Vec<_>>()));
    }
    let word = if tags.len() == 1 { "the tag" } else { "the tags" };
    let tags: Vec<_> = tags.iter().map(ToString::to_string).collect();
    format!("{word} {} of {digest}", named(&tags.iter().collect::<Vec<_>>()))
}

/// Removes what was agreed on.
async fn delete(mut subject: Subject) -> Result<Removed, Problem> {
    if subject.whole {
        return delete_image(subject).await;
    }
    let mut tags = Vec::new();
    for tag in subject.named.clone() {
        let Deletion::NotAllowed(problem) = subject.repository.delete(tag.as_str()).await? else {
            tags.push(tag.to_string());
            continue;
        };
        // Where the registry takes no tag away, the image can go if nothing else names it now.
        let told = |refused: Problem| problem.notes.iter().cloned().fold(refused, Problem::note);
        // What one cannot do at all is not offered.
        if let Ok(Deletion::NotAllowed(never)) =
            subject.repository.delete(&Digest::of(NOBODY).to_string()).await
            && never.notes.iter().any(|note| note.starts_with(METHOD_NOT_ALLOWED))
        {
            let title = "the registry allows no deletion, neither of tags nor of images".to_owned();
            return Err(Problem { title, ..never });
        }
        subject.bonds = bonds(&subject.repository, subject.digest).await?;
        if !subject.bonds.parents.is_empty() {
            return Err(told(part(&subject)));
        }
        if !subject.others().is_empty() {
            return Err(told(shared(&subject)));
        }
        return delete_image(subject).await;
    }
    Ok(Removed { digest: subject.digest, whole: false, tags })
}

async fn delete_image(Subject { repository, digest, bonds, .. }: Subject) -> Result<Removed, Problem> {
    match repository.delete(&digest.to_string()).await? {
        Deletion::NotAllowed(problem) => Err(problem),
        Deletion::Absent => Err(Problem::new(Code::NotFound, format!("`{digest}` is not listed there"))
            .note("nothing was removed")),
        Deletion::Done => Ok(Removed { digest, whole: true, tags: bonds.tags }),
    }
}

/// Says what is gone and what is not, where several were to go.
fn in_part(mut problem: Problem, removed: usize, names: &[String]) -> Problem {
    if names.len() < 2 {
        return problem;
    }
    if removed > 0 && problem.code != Code::Interrupted {
        problem.code = Code::HalfReleased;
        problem.title = format!("not everything was removed: {}", problem.title);
    }
    for (name, at) in names.iter().zip(0..) {
        problem.notes.push(format!("{} removed: {name}", if at < removed { "was" } else { "was not" }));
    }
    problem
}

/// Images of platforms stay as long as an index names them.
fn part(subject: &Subject) -> Problem {
    let title = format!("`{}` is the image of a platform of others", subject.digest);
    let parents = named(&subject.bonds.parents.iter().collect::<Vec<_>>());
    let problem = Problem::new(Code::NotConfirmed, title).note(format!("it is part of {parents}"));
    problem.help("remove these first, with `--all-tags`")
}

/// Other tags would go, too.
fn shared(subject: &Subject) -> Problem {
    let others = subject.others();
    let title = match subject.named.first() {
        Some(tag) => format!("the tag `{tag}` cannot be removed alone here"),
        None => format!("`{}` has {}", subject.digest, counted(others.len(), "tag")),
    };
    Problem::new(Code::NotConfirmed, title)
        .note(format!("with the image would go {}", named(&others)))
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
