//! Where a node is, from the root of a document.

use std::fmt;

use crate::deploy::Unfit;
use crate::deploy::yaml::{Kind, Node};
use crate::diagnostic::nearest;

/// Keys and indexes, one behind the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::deploy) struct Path(Vec<Step>);

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::deploy) enum Step {
    /// The value of a key; of a list, an index if it is a number.
    Key(String),
    /// An item of a list, from 0; from the end below 0.
    Index(i64),
}

impl Path {
    /// Reads `image.tag`, `.images[0].tag`, `a."b.c"`, or `a["b.c"]`.
    ///
    /// # Errors
    /// Why it is none.
    pub(in crate::deploy) fn parse(text: &str) -> Result<Self, String> {
        let mut steps = Vec::new();
        let mut rest = text.strip_prefix('.').unwrap_or(text);
        let mut fresh = true;
        while !rest.is_empty() {
            if let Some(inside) = rest.strip_prefix('[') {
                let step;
                (step, rest) = if let Some((key, behind)) = quoted(inside)? {
                    (Step::Key(key), behind.strip_prefix(']').ok_or("a `[` is not closed")?)
                } else {
                    let (index, behind) = inside.split_once(']').ok_or("a `[` is not closed")?;
                    let index = index.trim().parse().map_err(|_| format!("`{index}` is no index"))?;
                    (Step::Index(index), behind)
                };
                steps.push(step);
                fresh = false;
                continue;
            }
            if !fresh {
                rest = rest.strip_prefix('.').ok_or("a `.` or a `[` comes between two keys")?;
            }
            let key;
            (key, rest) = if let Some(found) = quoted(rest)? {
                found
            } else {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            };
            if key.is_empty() {
                return Err("a key is missing".to_owned());
            }
            steps.push(Step::Key(key));
            fresh = false;
        }
        if steps.is_empty() { Err("it names nothing".to_owned()) } else { Ok(Self(steps)) }
    }

    /// The places of the children that lead to what it names.
    ///
    /// # Errors
    /// How far it leads, and what is there.
    pub(in crate::deploy) fn find(&self, root: &Node) -> Result<Vec<usize>, (usize, Unfit)> {
        let (mut node, mut places) = (root, Vec::new());
        for (depth, step) in self.0.iter().enumerate() {
            let at = step.find(node).map_err(|found| (depth, self.missing(depth, found)))?;
            places.push(at);
            node = node.child(at).unwrap_or(node);
        }
        Ok(places)
    }

    /// One step further down.
    pub(super) fn child(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }

    fn missing(&self, depth: usize, found: Found<'_>) -> Unfit {
        let here = Self(self.0[..depth].to_vec());
        let place = if depth == 0 { "the document".to_owned() } else { format!("`{here}`") };
        match found {
            Found::Keys(keys) => {
                let key = match &self.0[depth] {
                    Step::Key(key) => key.clone(),
                    Step::Index(index) => index.to_string(),
                };
                let meant = nearest(&key, keys.iter().copied()).map(str::to_owned);
                let listed: Vec<_> = keys.iter().take(12).map(|key| format!("`{key}`")).collect();
                let has = if listed.is_empty() { "nothing".to_owned() } else { listed.join(", ") };
                let unfit = Unfit::new(format!("there is no `{self}`: {place} has {has}"));
                match meant {
                    Some(meant) => {
                        let path = self.0[..depth].iter().cloned().chain([Step::Key(meant)]);
                        let path = Self(path.chain(self.0[depth + 1..].iter().cloned()).collect());
                        unfit.help(format!("did you mean `{path}`?"))
                    }
                    None => unfit,
                }
            }
            Found::Twice => Unfit::new(format!("`{self}` is there twice: {place} has one key two times")),
            Found::Items(0) => Unfit::new(format!("there is no `{self}`: {place} is an empty list")),
            Found::Items(count) => {
                let unfit = Unfit::new(format!("there is no `{self}`: {place} is a list of {count}"));
                unfit.help(format!("its items are `{here}[0]` to `{here}[{}]`", count - 1))
            }
            Found::Alias => Unfit::new(format!("there is no `{self}` in this place: {place} is an alias"))
                .help("edit what its anchor names"),
            Found::Scalar => Unfit::new(format!("there is no `{self}`: {place} is a single value")),
        }
    }
}

/// What is there instead of a step.
enum Found<'a> {
    Keys(Vec<&'a str>),
    Twice,
    Items(usize),
    Alias,
    Scalar,
}

impl Step {
    fn find<'a>(&self, node: &'a Node) -> Result<usize, Found<'a>> {
        match (&node.kind, self) {
            (Kind::Mapping(entries, _), Self::Key(key)) => {
                let mut at = (0..).zip(entries).filter(|(_, (known, _))| known.text() == Some(key));
                match (at.next(), at.next()) {
                    (Some((at, _)), None) => Ok(at),
                    (Some(_), Some(_)) => Err(Found::Twice),
                    (None, _) => Err(Found::Keys(keys(entries))),
                }
            }
            (Kind::Mapping(entries, _), Self::Index(_)) => Err(Found::Keys(keys(entries))),
            (Kind::Sequence(items, _), step) => {
                let index = match step {
                    Self::Index(index) => Some(*index),
                    Self::Key(key) => key.parse().ok(),
                };
                let count = i64::try_from(items.len()).unwrap_or(i64::MAX);
                let index = index.map(|index| if index < 0 { index + count } else { index });
                let index = index.filter(|index| (0..count).contains(index));
                index.and_then(|index| usize::try_from(index).ok()).ok_or(Found::Items(items.len()))
            }
            (Kind::Alias(_), _) => Err(Found::Alias),
            (Kind::Scalar(..), _) => Err(Found::Scalar),
        }
    }
}

fn keys(entries: &[(Node, Node)]) -> Vec<&str> {
    entries.iter().filter_map(|(key, _)| key.text()).collect()
}

/// A text in double quotes, and what comes behind it; none where there are no quotes.
fn quoted(text: &str) -> Result<Option<(String, &str)>, String> {
    let Some(inside) = text.strip_prefix('"') else { return Ok(None) };
    let (key, behind) = inside.split_once('"').ok_or("a quote is not closed")?;
    Ok(Some((key.to_owned(), behind)))
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    if at > 0 {
                        f.write_str(".")?;
                    }
                    let plain = !key.contains(['.', '[', ']', '"', ' ']);
                    if plain { f.write_str(key)? } else { write!(f, "\"{key}\"")? }
                }
            }
        }
        Ok(())
    }
}
