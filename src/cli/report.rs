//! `hoist report`, and the files that a run writes about itself.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::arguments::{Report, ReportFormat, Running};
use crate::cli::log::whole;
use crate::cli::records;
use crate::cli::session::Session;
use crate::diagnostic::{Code, Problem, Problems};
use crate::facts::Project;
use crate::report::{Dialect, Past, Story, digest, html, junit, markdown, refusal, trace};
use crate::run::{Event, Followed};

/// Most earlier runs that a page compares a run with.
const COMPARED: usize = 19;

/// Most bytes of a summary that GitHub shows for a step of a job.
const SUMMARY: u64 = 1024 * 1024;

pub(crate) fn report(session: &Session, options: &Report) -> Result<ExitCode, Problems> {
    let root = Project::find(&session.host, session.global.file.as_deref())?.root;
    let id = records::find(&root, options.run.as_deref())?;
    if is_for_eyes(options, session.global.json, session.host.output_is_terminal) {
        whole(session, &root, Some(&id))?;
        return Ok(ExitCode::SUCCESS);
    }
    let story = records::story(&root, &id, records::read(&root, &id)?, session.host.now);
    let (format, file) = match &options.html {
        Some(file) => (ReportFormat::Html, Some(file)),
        None if session.global.json => (ReportFormat::Json, options.output.as_ref()),
        None => (options.format.unwrap_or(ReportFormat::Markdown), options.output.as_ref()),
    };
    let text = written(&root, &story, format)?;
    let Some(file) = file.map(|file| session.host.directory.join(file)) else {
        session.output(&text)?;
        return Ok(ExitCode::SUCCESS);
    };
    write(&file, &text)?;
    session.say(&format!("wrote {}\n", file.display()));
    Ok(ExitCode::SUCCESS)
}

/// Whether a report is shown on a terminal, and nobody asked for a form that is to be read by
/// a program.
fn is_for_eyes(options: &Report, json: bool, terminal: bool) -> bool {
    terminal && !json && options.format.is_none() && options.output.is_none() && options.html.is_none()
}

/// The run in a format, with a line break at its end.
fn written(root: &Path, story: &Story, format: ReportFormat) -> Result<String, Problem> {
    match format {
        ReportFormat::Markdown => Ok(markdown(story)),
        ReportFormat::Html => Ok(html(story, &before(root, story))),
        ReportFormat::Trace => Ok(format!("{}\n", trace(story))),
        ReportFormat::Json => Ok(format!("{}\n", digest(story))),
        ReportFormat::Junit => junit(story).map_err(|error| {
            Problem::new(Code::NoRecord, "the run cannot be written as JUnit XML").note(error)
        }),
    }
}

/// The runs before one, the newest first. One that cannot be read is left out.
fn before(root: &Path, story: &Story) -> Vec<Past> {
    let run = story.started.as_ref().map_or("", |started| started.run.as_str());
    records::before(root, run, COMPARED).map(|earlier| Past::of(&earlier)).collect()
}

/// Files about a run that goes on: those that the command line names, and the
/// summary of the job on GitHub.
#[derive(Debug)]
pub(crate) struct Files {
    /// The project's directory.
    root: PathBuf,
    wanted: Vec<(PathBuf, ReportFormat)>,
    summary: Option<PathBuf>,
    story: Story,
    /// What steps write, as lines.
    followed: Followed,
}

impl Files {
    /// What is asked for.
    pub(crate) fn of(session: &Session, root: &Path, running: &Running) -> Self {
        let named = [
            (&running.junit, ReportFormat::Junit),
            (&running.trace, ReportFormat::Trace),
            (&running.html, ReportFormat::Html),
        ];
        let path = |file: &PathBuf| session.host.directory.join(file);
        let wanted = named.into_iter().filter_map(|(file, format)| Some((path(file.as_ref()?), format)));
        Self {
            root: root.to_owned(),
            wanted: wanted.collect(),
            summary: summary_file(session),
            story: Story::default(),
            followed: Followed::default(),
        }
    }

    /// Tells what happened.
    pub(crate) fn see(&mut self, event: &Event) {
        if !self.wanted.is_empty() || self.summary.is_some() {
            let Self { story, followed, .. } = self;
            followed.see(event, &mut |event| story.see(event));
        }
    }

    /// Writes the files that were named, however the run ended.
    ///
    /// # Errors
    /// A file cannot be written; the others are.
    pub(crate) fn write(&self) -> Result<(), Problems> {
        let mut problems = Problems::new();
        for (file, format) in &self.wanted {
            problems.take(written(&self.root, &self.story, *format).and_then(|text| write(file, &text)));
        }
        problems.or(())
    }

    /// Adds to the summary of the job, where a CI system has one.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn summarise(&self) -> Result<(), Problems> {
        let Some(file) = &self.summary else { return Ok(()) };
        Ok(append(file, &markdown(&self.story)).map_err(|error| unwritable(file, &error))?)
    }
}

/// The summary of the job, where a CI system has one.
fn summary_file(session: &Session) -> Option<PathBuf> {
    let file = session.host.environment.get("GITHUB_STEP_SUMMARY").map(PathBuf::from);
    file.filter(|file| {
        session.dialect() == Some(Dialect::GitHub) && !session.global.json && file.is_absolute()
    })
}

/// Adds to the summary of the job what ended a command before anything ran, where a CI system has one.
pub(crate) fn summarise_refusal(session: &Session, problems: &Problems) {
    if let Some(file) = summary_file(session) {
        // What is wrong is shown already; that the summary lacks it is of less weight.
        drop(append(&file, &refusal(problems, &session.sources)));
    }
}

/// Writes a file, with the directories above it.
pub(crate) fn write(file: &Path, text: &str) -> Result<(), Problem> {
    let written = file.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(file, text));
    written.map_err(|error| unwritable(file, &error))
}

/// Adds to the summary of a job, as far as it is shown.
fn append(file: &Path, text: &str) -> io::Result<()> {
    let mut summary = OpenOptions::new().append(true).create(true).open(file)?;
    let length = summary.metadata()?.len() + u64::try_from(text.len()).unwrap_or(u64::MAX);
    if length > SUMMARY { Ok(()) } else { summary.write_all(text.as_bytes()) }
}

fn unwritable(file: &Path, error: &io::Error) -> Problem {
    Problem::new(Code::CommandLine, format!("`{}` cannot be written", file.display()))
        .note(error.to_string())
        .help("name a file in a directory that can be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_for_files_and_programs() {
        let plain = Report { run: None, format: None, output: None, html: None };
        assert!(is_for_eyes(&plain, false, true));
        assert!(!is_for_eyes(&plain, false, false) && !is_for_eyes(&plain, true, true));
        let asked = Report { format: Some(ReportFormat::Markdown), ..plain };
        assert!(!is_for_eyes(&asked, false, true));
        let file = Report { format: None, output: Some("run.md".into()), ..asked };
        assert!(!is_for_eyes(&file, false, true));
    }
}
