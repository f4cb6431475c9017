//! `hoist fmt`: the files in their usual form.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use similar::{ChangeTag, TextDiff};

use crate::cli::arguments::Fmt;
use crate::cli::session::Session;
use crate::diagnostic::{Code, Problem, Problems};
use crate::facts::Project;
use crate::report::{Look, Paint};

/// Formats each file that is right by itself; one that is not KDL stays as it
/// is, and so do all others then.
pub(crate) fn fmt(session: &mut Session, options: &Fmt) -> Result<ExitCode, Problems> {
    let mut problems = Problems::new();
    let mut changed = Vec::new();
    for path in files(session, options)? {
        let shown = path.strip_prefix(&session.host.directory).unwrap_or(&path).to_owned();
        let Some(text) = problems.take(read(&path, &shown)) else { continue };
        let source = session.sources.add(shown.display().to_string(), text.as_str());
        let Some(formatted) = problems.take(crate::syntax::format(source, &text)) else { continue };
        if formatted != text {
            changed.push((path, shown, text, formatted));
        }
    }
    problems.or(())?;
    for (path, shown, text, formatted) in &changed {
        if options.check {
            session.output(&difference(session.output_look(), shown, text, formatted))?;
        } else {
            write(path, shown, formatted)?;
            session.say(&format!("formatted {}\n", shown.display()));
        }
    }
    if options.check && !changed.is_empty() {
        let title = match changed.as_slice() {
            [(_, shown, _, _)] => format!("`{}` is not formatted", shown.display()),
            several => format!("{} files are not formatted", several.len()),
        };
        return Err(Problem::new(Code::WouldChange, title).help("run `hoist fmt`").into());
    }
    Ok(ExitCode::SUCCESS)
}

/// The files named, or the release file with all that it includes.
fn files(session: &mut Session, options: &Fmt) -> Result<Vec<PathBuf>, Problems> {
    if !options.files.is_empty() {
        return Ok(options.files.iter().map(|file| session.host.directory.join(file)).collect());
    }
    let project = Project::find(&session.host, session.global.file.as_deref())?;
    let mut sources = crate::diagnostic::Sources::new();
    // A file that does not decode can be formatted all the same; its includes
    // are then only those that were found.
    let _ = crate::facts::load(&project, &mut sources);
    let mut files: Vec<_> = sources.iter().map(|(_, source)| project.root.join(&source.name)).collect();
    files.retain(|file| file.is_file());
    if files.is_empty() {
        files.push(project.file);
    }
    Ok(files)
}

fn read(path: &Path, shown: &Path) -> Result<String, Problem> {
    std::fs::read_to_string(path).map_err(|error| {
        Problem::new(Code::Unreadable, format!("`{}` cannot be read", shown.display()))
            .note(error.to_string())
            .help("name a KDL file in UTF-8")
    })
}

/// Replaces a file as a whole: whoever reads it sees the old or the new text.
fn write(path: &Path, shown: &Path, text: &str) -> Result<(), Problem> {
    let replace = || -> std::io::Result<()> {
        let target = path.canonicalize()?;
        let directory = target.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(text.as_bytes())?;
        file.as_file().set_permissions(target.metadata()?.permissions())?;
        file.persist(&target)?;
        Ok(())
    };
    replace().map_err(|error| {
        Problem::new(Code::ReadOnly, format!("`{}` cannot be written", shown.display()))
            .note(error.to_string())
    })
}

fn difference(look: Look, shown: &Path, old: &str, new: &str) -> String {
    let mut out = format!("{}\n", look.paint(Paint::Strong, &shown.display().to_string()));
    let difference = TextDiff::from_lines(old, new);
    for group in difference.grouped_ops(2) {
        for change in group.iter().flat_map(|op| difference.iter_changes(op)) {
            let line = change.value().trim_end_matches('\n');
            let shown = match change.tag() {
                ChangeTag::Equal => format!("  {line}\n"),
                ChangeTag::Delete => format!("{}\n", look.paint(Paint::Bad, &format!("- {line}"))),
                ChangeTag::Insert => format!("{}\n", look.paint(Paint::Good, &format!("+ {line}"))),
            };
            out.push_str(&shown);
        }
    }
    out
}
