//! Permission bits, owners, ports, and names of variables.

/// Permission bits in octal, such as `0755`.
///
/// # Errors
/// Why the text is none.
pub(crate) fn mode(text: &str) -> Result<u32, String> {
    let octal = (3..=5).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let bits = u32::from_str_radix(text, 8).ok().filter(|bits| octal && *bits <= 0o7777);
    bits.ok_or_else(|| "permission bits are 3 or 4 octal digits, such as `0755`".to_owned())
}

/// A numeric owner and group: `65532` (both) or `65532:0`.
///
/// # Errors
/// Why the text is none.
pub(crate) fn owner(text: &str) -> Result<(u32, u32), String> {
    let (user, group) = text.split_once(':').unwrap_or((text, text));
    match (user.parse(), group.parse()) {
        (Ok(user), Ok(group)) => Ok((user, group)),
        _ => Err("an owner is a number, or two with a colon between: names differ between images".to_owned()),
    }
}

/// A port with an optional protocol: `8080`, `53/udp`.
///
/// # Errors
/// Why the text is none.
pub(crate) fn port(text: &str) -> Result<(u16, &str), String> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let number = number.parse::<u16>().ok().filter(|number| *number > 0);
    match number {
        Some(number) if matches!(protocol, "tcp" | "udp" | "sctp") => Ok((number, protocol)),
        Some(_) => Err(format!("`{protocol}` is not one of `tcp`, `udp`, `sctp`")),
        None => Err("a port is a number from 1 to 65535".to_owned()),
    }
}

/// The name of an environment variable.
///
/// # Errors
/// Why the text is none.
pub(crate) fn variable(text: &str) -> Result<(), String> {
    if text.is_empty() {
        Err("it is empty".to_owned())
    } else if text.starts_with(|c: char| c.is_ascii_digit()) {
        Err("a variable does not start with a digit".to_owned())
    } else if let Some(character) = text.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '_') {
        Err(format!(
            "`{}` is not allowed in a variable: letters, digits, and `_` are",
            character.escape_default()
        ))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal() {
        assert_eq!(mode("0755"), Ok(0o755));
        assert_eq!(mode("644"), Ok(0o644));
        assert!(mode("0888").is_err());
        assert!(mode("u+x").is_err());
        assert!(mode("77777").is_err());
    }

    #[test]
    fn owners_are_numbers() {
        assert_eq!(owner("65532:0"), Ok((65532, 0)));
        assert_eq!(owner("7"), Ok((7, 7)));
        assert!(owner("www-data").is_err());
    }

    #[test]
    fn ports_may_have_a_protocol() {
        assert_eq!(port("8080"), Ok((8080, "tcp")));
        assert_eq!(port("53/udp"), Ok((53, "udp")));
        assert!(port("0").is_err());
        assert!(port("80/http").is_err());
    }

    #[test]
    fn variables_are_identifiers() {
        assert_eq!(variable("PIP_TOKEN"), Ok(()));
        assert!(variable("A-B").is_err());
        assert!(variable("1A").is_err());
        assert!(variable("").is_err());
    }
}
