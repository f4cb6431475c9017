//! Scripts that are one plain command, for which no shell has to be started: what
//! it would do is known. (GNU make does the same, and for the same reason.)

use std::ffi::OsString;

/// Shells of which it is known what they do with a plain command.
const SHELLS: [&str; 3] = ["bash", "dash", "sh"];

/// What these shells understand themselves, as a command or as a part of one: the
/// words of POSIX, and those of bash.
const OWN_WORDS: &[&str] = &[
    ".",
    ":",
    "alias",
    "bg",
    "bind",
    "break",
    "builtin",
    "caller",
    "case",
    "cd",
    "chdir",
    "command",
    "compgen",
    "complete",
    "compopt",
    "continue",
    "coproc",
    "declare",
    "dirs",
    "disown",
    "do",
    "done",
    "echo",
    "elif",
    "else",
    "enable",
    "esac",
    "eval",
    "exec",
    "exit",
    "export",
    "false",
    "fc",
    "fg",
    "fi",
    "for",
    "function",
    "getopts",
    "hash",
    "help",
    "history",
    "if",
    "in",
    "jobs",
    "kill",
    "let",
    "local",
    "logout",
    "mapfile",
    "popd",
    "printf",
    "pushd",
    "pwd",
    "read",
    "readarray",
    "readonly",
    "return",
    "select",
    "set",
    "shift",
    "shopt",
    "source",
    "suspend",
    "test",
    "then",
    "time",
    "times",
    "trap",
    "true",
    "type",
    "typeset",
    "ulimit",
    "umask",
    "unalias",
    "unset",
    "until",
    "wait",
    "while",
];

/// The words of the command that a shell would start and become, where a command
/// line hands one to a shell: words that mean themselves, the first of them a
/// program, in an environment that gives it no other meaning.
pub(super) fn plain_command<'a>(
    argv: &'a [String],
    environment: &[(OsString, OsString)],
) -> Option<Vec<&'a str>> {
    let [shell, flags @ .., script] = argv else { return None };
    let shell = shell.rsplit('/').next()?;
    if !SHELLS.contains(&shell) || !run_one_command(flags) || !script.bytes().all(means_itself) {
        return None;
    }
    // Functions that are handed down, and a file that is read first.
    let redefines =
        |name: &OsString| name == "BASH_ENV" || name.as_encoded_bytes().starts_with(b"BASH_FUNC_");
    if environment.iter().any(|(name, _)| redefines(name)) {
        return None;
    }
    let words: Vec<&str> = script.split_ascii_whitespace().collect();
    let first = words.first()?;
    (!OWN_WORDS.contains(first) && !first.contains('=')).then_some(words)
}

/// Whether these are options that end with `-c` and change nothing for a command
/// that is the only one.
fn run_one_command(mut flags: &[String]) -> bool {
    let only = |letters: &str| letters.bytes().all(|letter| b"efu".contains(&letter));
    loop {
        let Some((flag, rest)) = flags.split_first() else { return false };
        let Some(letters) = flag.strip_prefix('-') else { return false };
        flags = rest;
        if let Some(letters) = letters.strip_suffix('c') {
            return only(letters) && rest.is_empty();
        }
        if let Some(letters) = letters.strip_suffix('o') {
            let Some((option, rest)) = rest.split_first() else { return false };
            if !only(letters) || !["errexit", "nounset", "pipefail"].contains(&option.as_str()) {
                return false;
            }
            flags = rest;
        } else if !only(letters) {
            return false;
        }
    }
}

/// Whether a byte is a part of a word that stands for nothing else, or ends one.
const fn means_itself(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b' ' | b'%' | b'+' | b',' | b'-' | b'.' | b'/' | b':' | b'=' | b'@' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(shell: &str, script: &str) -> Option<String> {
        let argv: Vec<String> = shell.split(' ').chain([script]).map(str::to_owned).collect();
        plain_command(&argv, &[]).map(|words| words.join("|"))
    }

    #[test]
    fn a_command_of_words_that_mean_themselves_needs_no_shell() {
        let words = |script| plain("sh -eu -c", script);
        assert_eq!(
            words(" go  build -o=dist/web ./cmd/web "),
            Some("go|build|-o=dist/web|./cmd/web".to_owned())
        );
        for script in [
            "", "cd api", "echo x", "A=b make", "a; b", "a && b", "a | b", "a > b", "a $b", "a *", "a 'b'",
            "a \"b\"", "a ~", "a #", "a {b,c}", "a\nb", "a\tb", "a `b`", "a \\b", "(a)", "! a", "a [b]",
            "a ü",
        ] {
            assert_eq!(words(script), None, "{script}");
        }
    }

    #[test]
    fn only_shells_that_do_nothing_else_with_it() {
        for shell in ["sh -c", "/bin/bash -euo pipefail -c", "dash -euc", "bash -e -o nounset -c"] {
            assert!(plain(shell, "make all").is_some(), "{shell}");
        }
        for shell in [
            "fish -c",
            "sh",
            "sh -x -c",
            "sh -exc",
            "bash -l -c",
            "bash -o posix -c",
            "sh -c --",
            "python3 -c",
            "sh -eo -c",
        ] {
            assert!(plain(shell, "make all").is_none(), "{shell}");
        }
    }

    #[test]
    fn an_environment_may_give_commands_another_meaning() {
        let argv = ["bash", "-c", "make all"].map(str::to_owned);
        for (name, plain) in [("BASH_ENV", false), ("BASH_FUNC_make%%", false), ("BASH", true)] {
            assert_eq!(plain_command(&argv, &[(name.into(), "x".into())]).is_some(), plain, "{name}");
        }
    }
}
