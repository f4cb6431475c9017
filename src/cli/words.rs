//! Words of the command line that name steps or set variables.

use indexmap::IndexMap;

use crate::config::{Release, Target};
use crate::diagnostic::{Code, Problem, Problems, Sources, Span, Spanned};
use crate::plan::Goals;

/// Names and values, each where it stands on the command line.
#[derive(Debug, Default)]
pub(crate) struct Words {
    /// Targets, images, steps, goals.
    pub(crate) names: Vec<Spanned<String>>,
    /// Values of variables.
    pub(crate) values: IndexMap<String, String>,
}

impl Words {
    /// Tells `VAR=VALUE` from names: a word with a `=` before any `[` sets a
    /// variable, for `lint[python=3.12]` is the name of a step.
    ///
    /// # Errors
    /// A variable without a name, or given twice.
    pub(crate) fn read(words: &[String], sources: &mut Sources) -> Result<Self, Problems> {
        let line = words.join(" ");
        let source = sources.add("command line", line);
        let mut read = Self::default();
        let mut problems = Problems::new();
        let mut start = 0;
        for word in words {
            let span = Span::new(source, start..start + word.len());
            start += word.len() + 1;
            let head = word.find('[').map_or(word.as_str(), |at| &word[..at]);
            let Some(at) = head.find('=') else {
                read.names.push(Spanned::new(word.clone(), span));
                continue;
            };
            let (name, value) = (&word[..at], &word[at + 1..]);
            if name.is_empty() {
                let problem = Problem::new(Code::CommandLine, "a variable has no name");
                problems.push(problem.label(span, "").help("write NAME=VALUE"));
            } else if read.values.insert(name.to_owned(), value.to_owned()).is_some() {
                let title = format!("`{name}` is set twice");
                problems.push(Problem::new(Code::CommandLine, title).label(span, "set again here"));
            }
        }
        problems.or(read)
    }

    /// Refuses values of no variable that are of the matrix of a target which is asked for.
    ///
    /// # Errors
    /// Each of them, with the name of the step that was meant.
    pub(crate) fn check_axes(
        release: &Release,
        goals: &Goals,
        values: &IndexMap<String, String>,
    ) -> Result<(), Problems> {
        let Goals::Named(names) = goals else { return Ok(()) };
        let mut problems = Problems::new();
        for (axis, value) in values.iter().filter(|(axis, _)| !release.vars.contains_key(*axis)) {
            let targets = names.iter().filter_map(|name| release.targets.get(&name.value));
            let target = { targets }.find(|target| target.matrix.contains_key(axis));
            problems.extend(target.map(|Target { name, .. }| {
                let title = format!("`{axis}` is no variable: the matrix of `{}` has it", name.value);
                let problem = Problem::new(Code::UnknownName, title);
                problem.help(format!("did you mean `{}[{axis}={value}]`?", name.value))
            }));
        }
        problems.or(())
    }

    /// Reads words that may only set variables.
    ///
    /// # Errors
    /// As [`Words::read`], and a name.
    pub(crate) fn values_only(
        command: &str,
        words: &[String],
        sources: &mut Sources,
    ) -> Result<Self, Problems> {
        let read = Self::read(words, sources)?;
        let mut problems = Problems::new();
        for name in &read.names {
            let title = format!("`hoist {command}` takes no names, but got `{}`", name.value);
            let help = format!("to run one step, use `hoist run {}`", name.value);
            problems.push(Problem::new(Code::CommandLine, title).label(name.span, "").help(help));
        }
        problems.or(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[&str]) -> Result<Words, Problems> {
        let line: Vec<_> = line.iter().map(|word| (*word).to_owned()).collect();
        Words::read(&line, &mut Sources::new())
    }

    #[test]
    fn values_are_told_from_names() {
        let read = words(&["lint", "python=3.12", "lint[python=3.11]", "empty=", "a=b=c"]).expect("fine");
        let names: Vec<_> = read.names.iter().map(|name| (name.value.as_str(), name.span.range())).collect();
        assert_eq!(names, [("lint", 0..4), ("lint[python=3.11]", 17..34)]);
        let values: Vec<_> = read.values.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(values, [("python", "3.12"), ("empty", ""), ("a", "b=c")]);
    }

    #[test]
    fn a_value_without_a_name_or_given_twice_is_refused() {
        let problems = words(&["=1", "a=1", "a=2"]).expect_err("refused");
        let titles: Vec<_> = problems.as_slice().iter().map(|problem| problem.title.as_str()).collect();
        assert_eq!(titles, ["a variable has no name", "`a` is set twice"]);
    }
}
