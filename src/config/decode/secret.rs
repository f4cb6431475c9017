//! Where secrets are found.

use crate::config::Secret;
use crate::config::decode::Decoder;
use crate::config::value;
use crate::diagnostic::{Code, Problem, Spanned};
use crate::syntax::Value;

impl Decoder<'_> {
    /// `env:NAME`, `file:PATH`, or `command:…`. A text that is none of them may
    /// be the secret itself, so no message repeats it.
    pub(super) fn secret(&mut self, value: &Value) -> Option<Spanned<Secret>> {
        let text = value.as_str()?;
        let found = match text.split_once(':') {
            Some(("env", name)) if value::variable(name).is_ok() => Some(Secret::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Some(Secret::File(self.secret_path(path))),
            Some(("command", command)) if !command.trim().is_empty() => {
                Some(Secret::Command(command.to_owned()))
            }
            _ => None,
        };
        if found.is_none() {
            let problem = Problem::new(Code::InvalidValue, "a secret is not written into the file")
                .label(value.span, "does not say where the secret is found")
                .help("write `env:NAME`, `file:PATH`, or `command:…`");
            self.problems.push(problem);
        }
        found.map(|secret| Spanned::new(secret, value.span))
    }

    /// A secret may lie outside the project; a path inside it is as seen from
    /// the document's directory.
    pub(super) fn secret_path(&self, path: &str) -> String {
        if path.starts_with('/') || path.starts_with("~/") || self.home.is_root() {
            return path.to_owned();
        }
        match self.home.join(path) {
            Ok(joined) => joined.to_string(),
            Err(_) => format!("{}/{path}", self.home),
        }
    }
}
