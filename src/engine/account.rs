//! Users and groups of an image (`passwd(5)`, `group(5)`).

/// Who a process in a container is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Further groups.
    pub(super) groups: Vec<u32>,
    /// The home directory, if the image knows the user.
    pub(super) home: Option<String>,
}

impl Account {
    /// The account that the `User` of an image names: `user`, `user:group`, each
    /// by name or number; root if it is empty. `passwd` and `group` are the files
    /// of the image.
    ///
    /// # Errors
    /// A name that the files do not have, in a sentence.
    pub(super) fn find(user: &str, passwd: &str, group: &str) -> Result<Self, String> {
        let (user, named_group) = match user.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (user, None),
        };
        let user = if user.is_empty() { "0" } else { user };
        let number = user.parse::<u32>().ok();
        let lines = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let entry = lines.filter_map(|fields| {
            let ids = (fields.get(2)?.parse::<u32>().ok()?, fields.get(3)?.parse::<u32>().ok()?);
            Some((*fields.first()?, ids, fields.get(5).map(|home| (*home).to_owned())))
        });
        let entry = entry.into_iter().find(|(name, (uid, _), _)| *name == user || Some(*uid) == number);
        let (name, (uid, gid), home) = match (entry, number) {
            (Some(entry), _) => entry,
            (None, Some(uid)) => (user, (uid, 0), None),
            (None, None) => return Err(format!("the image has no user `{user}`")),
        };
        let Some(named_group) = named_group.filter(|group| !group.is_empty()) else {
            let groups = groups(group).filter(|(_, id, members)| *id != gid && members.contains(&name));
            return Ok(Self { uid, gid, groups: groups.map(|(_, id, _)| id).collect(), home });
        };
        let found = groups(group).find(|(name, id, _)| *name == named_group || id.to_string() == named_group);
        let gid = found.map(|(_, id, _)| id).or_else(|| named_group.parse().ok());
        let gid = gid.ok_or_else(|| format!("the image has no group `{named_group}`"))?;
        Ok(Self { uid, gid, groups: Vec::new(), home })
    }
}

/// Name, number, and members of each group.
fn groups(file: &str) -> impl Iterator<Item = (&str, u32, Vec<&str>)> {
    file.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let id = fields.nth(1)?.parse().ok()?;
        Some((name, id, fields.next().unwrap_or_default().split(',').collect()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:,,,:/srv/app:/bin/sh\nbroken\n";
    const GROUP: &str = "root:x:0:\napp:x:1001:\nvideo:x:44:root,app\nusers:x:100:apple\n";

    fn find(user: &str) -> Result<(u32, u32, Vec<u32>, Option<String>), String> {
        Account::find(user, PASSWD, GROUP)
            .map(|account| (account.uid, account.gid, account.groups, account.home))
    }

    #[test]
    fn users_and_groups_are_found_by_name_and_number() {
        let app = Some("/srv/app".to_owned());
        assert_eq!(find(""), Ok((0, 0, vec![44], Some("/root".to_owned()))));
        assert_eq!(find("app"), Ok((1000, 1001, vec![44], app.clone())));
        assert_eq!(find("1000"), Ok((1000, 1001, vec![44], app.clone())));
        assert_eq!(find("app:video"), Ok((1000, 44, vec![], app.clone())));
        assert_eq!(find("app:7"), Ok((1000, 7, vec![], app)));
        assert_eq!(find("65532"), Ok((65532, 0, vec![], None)));
        assert_eq!(find("65532:65532"), Ok((65532, 65532, vec![], None)));
    }

    #[test]
    fn a_name_that_the_image_does_not_have_is_an_error() {
        assert_eq!(find("nobody"), Err("the image has no user `nobody`".to_owned()));
        assert_eq!(find("app:wheel"), Err("the image has no group `wheel`".to_owned()));
    }
}
