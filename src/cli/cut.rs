//! `hoist cut`: the annotated git tag of the next version.

use std::process::ExitCode;

use indexmap::IndexMap;
use semver::Version;
use serde_json::json;

use crate::cli::run::{asker, ci, consent};
use crate::cli::session::Session;
use crate::cli::stage_arguments::Cut;
use crate::cli::words::Words;
use crate::config::{Release, RuleKind};
use crate::diagnostic::{Code, Problem, Problems};
use crate::facts::short;
use crate::facts::{Needs, version_of};
use crate::release::{Bump, Tags, next};

pub(crate) fn cut(session: &mut Session, options: &Cut) -> Result<ExitCode, Problems> {
    let values = Words::values_only("cut", &options.words, &mut session.sources)?.values;
    let loaded = session.load()?;
    let (root, release) = (&loaded.project.root, &loaded.release);
    let facts = session.gather(&loaded, &Needs::default(), &IndexMap::new())?;
    let Some(git) = &facts.git else {
        let problem = Problem::new(Code::NoGit, "there is no commit that could be tagged");
        return Err(problem.help("`git commit` makes one").into());
    };
    if git.dirty && !options.allow_dirty {
        let problem = Problem::new(Code::NotPublishable, "the tree has changes that a tag would not have");
        return Err(problem.help("commit the changes, or type `--allow-dirty`").into());
    }
    let tags = Tags::open(root, &session.host.environment)?;
    let known = tags.all()?;
    let here = known.iter().filter(|(_, commit)| *commit == git.sha);
    if let Some((name, _)) = here.clone().find(|(name, _)| version_of(name, release).is_some()) {
        let title = format!("this commit is `{name}` already");
        return Err(Problem::new(Code::NotPublishable, title)
            .help(match tags.remote() {
                Some(remote) => format!(
                    "`git push {remote} {name}` publishes the tag, `hoist release --event tag={name}` releases it"
                ),
                None => format!("`hoist release --event tag={name}` releases it"),
            })
            .into());
    }
    let prefix = prefix(release);
    let version = following(session, &tags, (&known, &prefix), (&git.sha, options.which.into()))?;
    let name = format!("{prefix}{version}");
    // A tag of which no release can be planned, or would be refused, would burn its version.
    session.global.event = Some(format!("tag={name}"));
    if !release.images.is_empty() {
        let entered = session.outline_release(&loaded, &values)?;
        let refused = entered.map(|entered| entered.refusals_ahead(session, root)).unwrap_or_default();
        if options.allow_refused {
            for Problem { title, .. } in refused.as_slice() {
                session.say(&format!("its release would be refused now: {title}\n"));
            }
        } else {
            refused.into_iter().map(|problem| not_cut(problem, &name)).collect::<Problems>().or(())?;
        }
    }
    if options.push {
        let Some(remote) = tags.remote() else {
            let problem = Problem::new(Code::CommandLine, "there is no remote to push the tag to");
            return Err(problem.help("leave out `--push`, or add one with `git remote add origin …`").into());
        };
        let answered = options.yes || ci(session);
        if !answered {
            session.say(&format!("This would push {name}, of commit {}, to {remote}\n", short(&git.sha)));
        }
        consent(&asker(session, answered), "Publish?", "tagged")?;
    }
    tags.make(&name, &git.sha, options.message.as_deref().unwrap_or(&name))?;
    if options.push
        && let Err(problem) = tags.push(&name)
    {
        // Here alone it would say that the commit has a version.
        tags.remove(&name)?;
        let help = "`git fetch --tags` brings what others cut: then cut again";
        return Err(problem.note(format!("`{name}` is not here either")).help(help).into());
    }
    if session.global.json {
        let value =
            json!({ "tag": name, "version": version.to_string(), "commit": git.sha, "pushed": options.push });
        session.output(&format!("{value}\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    session.output(&format!("{name}\n"))?;
    if let Some(remote) = tags.remote() {
        session.say(&if options.push {
            format!("pushed to {remote}\n")
        } else {
            format!("`git push {remote} {name}` publishes it\n")
        });
    }
    Ok(ExitCode::SUCCESS)
}

/// That no tag is made of which the release would be refused now.
fn not_cut(problem: Problem, name: &str) -> Problem {
    problem.note(format!(
        "`{name}` is not cut, for its release would be refused now; `--allow-refused` cuts it all the same"
    ))
}

/// The version behind that of a commit.
///
/// # Errors
/// The remote has versions that are not known here ([`Code::NotPublishable`]).
fn following(
    session: &Session,
    tags: &Tags,
    (known, prefix): (&[(String, String)], &str),
    (commit, bump): (&str, Bump),
) -> Result<Version, Problem> {
    let version = |name: &str| name.strip_prefix(prefix)?.parse::<Version>().ok();
    match (tags.of_remote(), tags.remote()) {
        (Ok(there), Some(remote)) => {
            let is_here = |name: &String| known.iter().any(|(known, _)| known == name);
            let mut unknown: Vec<String> =
                there.into_iter().filter(|name| version(name).is_some() && !is_here(name)).collect();
            unknown.sort_by_key(|name| version(name));
            if let Some(name) = unknown.last() {
                let title = format!("`{remote}` has the tag `{name}`, which is not here");
                let problem = Problem::new(Code::NotPublishable, title);
                return Err(problem.help(format!("`git fetch --tags {remote}` brings what others cut")));
            }
        }
        (Err(why), Some(remote)) => {
            session.say(&format!("`{remote}` cannot be asked for what others cut: {}\n", why.trim_end()));
        }
        (_, None) => {}
    }
    let all: Vec<Version> = known.iter().filter_map(|(name, _)| version(name)).collect();
    let behind = if tags.is_cut_off() {
        session.say("history is cut off here: the version comes behind the highest of all\n");
        Vec::new()
    } else {
        tags.behind(commit)?.iter().filter_map(|name| version(name)).collect()
    };
    let version = next(&all, &behind, bump);
    let own = behind.iter().max_by(|one, other| one.cmp_precedence(other));
    let last = all.iter().filter(|other| **other < version).max_by(|one, other| one.cmp_precedence(other));
    if let (Some(own), Some(last)) = (own, last.filter(|last| !behind.contains(last)))
        && next(&behind, &behind, bump) != version
    {
        session.say(&format!(
            "this commit comes behind {prefix}{own}; what others cut up to {prefix}{last} is elsewhere, and taken\n"
        ));
    }
    Ok(version)
}

/// What stands before the version in git tags: as the rules of the file say, else `v`.
fn prefix(release: &Release) -> String {
    let images = release.images.values().flat_map(|image| &image.tags);
    let sets = release.tag_sets.values().flat_map(|set| &set.rules);
    let rules = images.chain(sets).chain(release.stages.values().flat_map(|stage| &stage.tags));
    let mut prefixes = rules.filter_map(|rule| match &rule.kind {
        RuleKind::Semver { prefix: Some(prefix), .. } => Some(prefix.value.clone()),
        _ => None,
    });
    prefixes.next().unwrap_or_else(|| "v".to_owned())
}
