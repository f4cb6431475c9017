//! Names that documents declare.

/// Why a text cannot be the name of something, if it cannot.
///
/// Names are typed at a shell, and `:`, `@`, `[`, `]`, `,`, and `=` have a
/// meaning beside them: `web:push@ghcr`, `lint[python=3.11,os=a]`, `NAME=value`.
pub(crate) fn name_fits(name: &str) -> Result<(), String> {
    let refused = |c: char| c.is_whitespace() || c.is_control() || r#":@[],=*?{}"'`\!$"#.contains(c);
    if name.is_empty() {
        Err("it is empty".to_owned())
    } else if let Some(character) = name.chars().find(|c| refused(*c)) {
        Err(format!("{character:?} is not allowed in a name").replace('\'', "`"))
    } else if name.starts_with('-') {
        Err("a leading `-` would be taken for a flag".to_owned())
    } else if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        Err("`/` stands between words".to_owned())
    } else {
        Ok(())
    }
}
