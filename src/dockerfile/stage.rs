//! A Dockerfile and its stages.

use crate::diagnostic::{Code, Problem, Problems, SourceId, Span, Spanned, bytes};
use crate::dockerfile::instruction::Reader;
use crate::dockerfile::line::Lines;
use crate::dockerfile::{Directives, Instruction, Keyword};

/// Most bytes of a Dockerfile that is read.
pub const MAX_BYTES: usize = 1 << 20;

/// Most problems that are told of one: what is no Dockerfile has one in each line.
pub(super) const MAX_PROBLEMS: usize = 50;

/// A Dockerfile, read. Variables are not filled in yet: that takes the arguments
/// of a build, see [`Dockerfile::resolve`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dockerfile {
    /// The text that its spans point into.
    pub source: SourceId,
    /// What its first lines say.
    pub directives: Directives,
    /// The `ARG` instructions before the first `FROM`.
    pub globals: Vec<Instruction>,
    /// Its stages, at least one, in order.
    pub stages: Vec<Stage>,
}

/// One stage: a `FROM` and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The name behind `AS`, in lower case.
    pub name: Option<Spanned<String>>,
    /// What it starts from: an image, another stage, a named context, or `scratch`.
    pub from: Spanned<String>,
    /// The value of `--platform`.
    pub platform: Option<Spanned<String>>,
    /// What follows, in order.
    pub instructions: Vec<Instruction>,
    /// The `FROM` instruction.
    pub span: Span,
}

impl Dockerfile {
    /// Reads a Dockerfile; `text` is that of `source`.
    ///
    /// # Errors
    /// All that is wrong with it, each with its place: an unknown instruction
    /// ([`Code::UnknownInstruction`]), one that is not well formed
    /// ([`Code::InvalidInstruction`]), no stage, or more than [`MAX_BYTES`]
    /// ([`Code::TooLarge`]).
    pub fn parse(source: SourceId, text: &str) -> Result<Self, Problems> {
        if text.len() > MAX_BYTES {
            let size = |count: usize| bytes(u64::try_from(count).unwrap_or(u64::MAX));
            let title = format!("the Dockerfile has {}, hoist reads {}", size(text.len()), size(MAX_BYTES));
            return Err(Problem::new(Code::TooLarge, title)
                .label(Span::new(source, 0..0), "this file")
                .help("copy large contents from files of the context")
                .into());
        }
        let mut problems = Problems::new();
        let mut lines = Lines::new(text);
        let directives = Directives::read(source, &mut lines, &mut problems);
        let mut globals = Vec::new();
        let mut stages: Vec<Stage> = Vec::new();
        // What follows a `FROM` that is wrong belongs to a stage that is not known.
        let mut lost = false;
        let mut reader = Reader { source, directives: &directives, problems: &mut problems };
        while let Some(instruction) = reader.next(&mut lines) {
            if instruction.keyword.value == Keyword::From {
                let stage = stage(instruction, reader.problems);
                lost |= stage.is_none();
                stages.extend(stage);
            } else if let Some(stage) = stages.last_mut() {
                stage.instructions.push(instruction);
            } else if matches!(instruction.keyword.value, Keyword::Arg | Keyword::Foreign) {
                globals.push(instruction);
            } else if !lost {
                let title = format!("`{}` stands before the first `FROM`", instruction.keyword.value);
                let problem = Problem::new(Code::InvalidInstruction, title);
                let problem = problem.label(instruction.span, "belongs to no stage");
                reader.problems.push(problem.help("only `ARG` may stand there: begin with `FROM`"));
                lost = true;
            }
        }
        if stages.is_empty() && problems.is_empty() {
            let end = Span::new(source, text.len()..text.len());
            let problem = Problem::new(Code::InvalidInstruction, "the Dockerfile has no `FROM`");
            problems.push(
                problem.label(end, "the end is reached").help("begin with `FROM image` or `FROM scratch`"),
            );
        }
        problems.or(Self { source, directives, globals, stages })
    }

    /// The escape character.
    pub(super) fn escape(&self) -> char {
        self.directives.escape.as_ref().map_or('\\', |escape| escape.value)
    }
}

/// The stage that a `FROM` begins; `None` if it is wrong, and that is told.
fn stage(instruction: Instruction, problems: &mut Problems) -> Option<Stage> {
    let platform = instruction
        .flag("platform")
        .map(|flag| Spanned::new(flag.value.clone().unwrap_or_default(), flag.span));
    let span = instruction.span;
    // Where there are more or fewer, that was told when it was read.
    if !matches!(instruction.arguments.len(), 1 | 3) {
        return None;
    }
    let mut arguments = instruction.arguments.into_iter();
    let from = arguments.next()?;
    let name = match (arguments.next(), arguments.next()) {
        (Some(word), Some(name)) if word.eq_ignore_ascii_case("as") => {
            let lower = name.value.to_lowercase();
            let fits = lower.starts_with(|c: char| c.is_ascii_lowercase())
                && lower.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c));
            if !fits {
                let title = format!("`{}` cannot be the name of a stage", name.value);
                let problem = Problem::new(Code::InvalidInstruction, title).label(name.span, "given here");
                let help = "it begins with a letter, and has letters, digits, `-`, `_`, and `.` then";
                problems.push(problem.help(help));
            }
            Some(Spanned::new(lower, name.span))
        }
        (None, _) => None,
        (Some(word), _) => {
            let title = "the arguments of `FROM` are not complete";
            let problem = Problem::new(Code::InvalidInstruction, title).label(word.span, "not `AS`");
            problems.push(problem.help("it is `FROM image` or `FROM image AS name`"));
            return None;
        }
    };
    Some(Stage { name, from, platform, instructions: Vec::new(), span })
}
