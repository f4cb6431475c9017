//! The edit of one value of a YAML file.

use crate::deploy::Unfit;
use crate::deploy::yaml::{Kind, Node, Path, Splices, Style, Tree, spell, unshared};

/// What is known of the aliases of a value that is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aliases {
    /// They are to change with it.
    Follow,
    /// Nothing: none may change.
    Stay,
}

/// Sets the scalar at a path, in every document of the text that has it. Nothing but its
/// bytes changes, and they do not where it says so already.
///
/// # Errors
/// There is no such path, and what is there; what stands there is no single value; aliases of
/// it are to stay as they are, and would not; the text is not YAML.
pub fn set_value(text: &str, path: &str, value: &str, aliases: Aliases) -> Result<String, Unfit> {
    let path = Path::parse(path).map_err(|why| Unfit::new(format!("`{path}` is no path: {why}")))?;
    let bare = text.strip_prefix('\u{feff}').unwrap_or(text);
    let tree = Tree::read(bare).map_err(|why| Unfit::new(format!("it is not YAML: {why}")))?;
    let (mut meant, mut splices) = (tree.clone(), Splices::default());
    let (mut found, mut missing) = (false, None::<(usize, Unfit)>);
    for (document, meant) in tree.documents.iter().zip(&mut meant.documents) {
        let places = match path.find(&document.root) {
            Ok(places) => places,
            Err(why) => {
                if missing.as_ref().is_none_or(|(depth, _)| *depth < why.0) {
                    missing = Some(why);
                }
                continue;
            }
        };
        found = true;
        let Some((parent, at, target)) = follow(&document.root, &places) else { continue };
        let Some(goal) = places.iter().try_fold(&mut meant.root, |node, at| node.child_mut(*at)) else {
            continue;
        };
        change(bare, (parent, at, target), goal, value, &mut splices)
            .map_err(|why| Unfit::new(format!("`{path}` {why}")))?;
    }
    match missing {
        Some((_, why)) if !found => return Err(why),
        None if !found => return Err(Unfit::new("it holds nothing".to_owned())),
        _ => {}
    }
    if aliases == Aliases::Stay {
        for (document, meant) in tree.documents.iter().zip(&meant.documents) {
            unshared(bare, document, meant).map_err(|unfit| {
                unfit.help("write the value out there; or let it change: `yaml … aliases=#true`")
            })?;
        }
    }
    let edited = splices.apply(bare, &meant).map_err(Unfit::new)?;
    Ok(format!("{}{edited}", &text[..text.len() - bare.len()]))
}

fn follow<'a>(root: &'a Node, places: &[usize]) -> Option<(&'a Node, usize, &'a Node)> {
    let (last, above) = places.split_last()?;
    let parent = above.iter().try_fold(root, |node, at| node.child(*at))?;
    Some((parent, *last, parent.child(*last)?))
}

/// Puts a value in the place of a scalar.
///
/// # Errors
/// What stands there instead.
pub(super) fn change(
    text: &str,
    (parent, at, target): (&Node, usize, &Node),
    goal: &mut Node,
    value: &str,
    splices: &mut Splices,
) -> Result<(), String> {
    match &target.kind {
        Kind::Scalar(old, style) if old == value && (*style != Style::Plain || !value.is_empty()) => {
            return Ok(());
        }
        Kind::Scalar(_, Style::Block) => return Err("is a block of text, and not a single line".to_owned()),
        Kind::Scalar(..) if target.marked && text[target.span.clone()].starts_with('#') => {
            return Err("has a comment between its mark and its value".to_owned());
        }
        Kind::Scalar(..) => {}
        Kind::Alias(_) => return Err("is an alias: edit what its anchor names".to_owned()),
        Kind::Sequence(..) => return Err("is a list, and not a single value".to_owned()),
        Kind::Mapping(..) => return Err("has keys of its own, and is not a single value".to_owned()),
    }
    if target.span.is_empty() {
        let Kind::Mapping(entries, _) = &parent.kind else {
            return Err("is an item without a value".to_owned());
        };
        let key = entries.get(at).map(|(key, _)| key.span.end).unwrap_or_default();
        let colon = text.get(key..).and_then(|rest| rest.find(':')).map(|colon| key + colon + 1);
        let colon = colon.filter(|colon| target.is_nothing() && text[key..colon - 1].trim().is_empty());
        let colon = colon.ok_or("has no value, and a mark that stands for one")?;
        let spelled = spell(value, None);
        splices.put(colon..colon, format!(" {spelled}"));
        goal.kind = kind_of(value, &spelled);
    } else {
        let spelled = spell(value, Some(target));
        splices.put(target.span.clone(), spelled.clone());
        goal.kind = kind_of(value, &spelled);
    }
    Ok(())
}

/// What a spelled scalar is to be read as.
pub(super) fn kind_of(value: &str, spelled: &str) -> Kind {
    let style = if spelled == value { Style::Plain } else { Style::Double };
    Kind::Scalar(value.to_owned(), style)
}
