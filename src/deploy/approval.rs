//! Whether the pull request by which a commit came approves it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::Forge;
use crate::deploy::Project;
use crate::diagnostic::Problem;

/// Reviews of one page, and the most pages.
const PAGE: usize = 50;
const PAGES: usize = 40;

/// A pull request that was merged.
struct Merged {
    /// Where its API tells of it.
    api: String,
    /// Where it is seen.
    address: String,
    /// Who asked for it.
    author: String,
    /// Who merged it, if the forge says so.
    by: Option<String>,
    /// The commit that was merged.
    head: String,
}

impl Project {
    /// Who, other than its author, approved or merged a pull request by which a commit came,
    /// into `base` if there is one: `ada approved https://…/7`. Of GitHub and Gitea an approval
    /// counts that is of what was merged, and the last word of who gave it; no bot approves.
    /// Of GitLab an approval counts that stands.
    ///
    /// # Errors
    /// The forge does not answer, or refuses ([`Code::PullRequest`](crate::diagnostic::Code)).
    /// In it: nobody did, and why, in a sentence without a period.
    pub async fn approval(
        &self,
        commit: &str,
        base: Option<&str>,
        token: &str,
    ) -> Result<Result<String, String>, Problem> {
        let mut why = match base {
            Some(base) => format!("no merged pull request brought the commit to `{base}`"),
            None => "no merged pull request brought the commit".to_owned(),
        };
        let found = self.find_at(&self.requests_of(commit), token).await?;
        let found = match found {
            Some(Value::Array(all)) => all,
            Some(one) => vec![one],
            None => Vec::new(),
        };
        for found in &found {
            let Some(merged) = self.merged(found, base, token).await? else { continue };
            let approved = self.approvers(&merged, token).await?;
            if !approved.is_empty() {
                return Ok(Ok(format!("{} approved {}", approved.join(", "), merged.address)));
            }
            if let Some(who) = merged.by.filter(|who| *who != merged.author) {
                return Ok(Ok(format!("{who} merged {}", merged.address)));
            }
            why = format!("nobody but its author approved or merged {}", merged.address);
        }
        Ok(Err(why))
    }

    /// A pull request of a list, if it was merged, and into this branch.
    async fn merged(
        &self,
        found: &Value,
        base: Option<&str>,
        token: &str,
    ) -> Result<Option<Merged>, Problem> {
        let (number, target, merged) = match self.forge {
            Forge::GitHub => ("number", &found["base"]["ref"], found["merged_at"].is_string()),
            Forge::Gitea => ("number", &found["base"]["ref"], found["merged"] == true),
            Forge::GitLab => ("iid", &found["target_branch"], found["state"] == "merged"),
        };
        let (Some(number), true) = (found[number].as_u64(), merged) else { return Ok(None) };
        if base.is_some_and(|base| target != base) {
            return Ok(None);
        }
        let api = format!("{}/{number}", self.requests());
        // The list of GitHub does not say who merged.
        let whole = if self.forge == Forge::GitHub { self.find_at(&api, token).await? } else { None };
        let found = whole.as_ref().unwrap_or(found);
        let (author, by) = match self.forge {
            Forge::GitHub | Forge::Gitea => (name(&found["user"]), person(&found["merged_by"])),
            Forge::GitLab => {
                let by = person(&found["merge_user"]).or_else(|| person(&found["merged_by"]));
                (name(&found["author"]), by)
            }
        };
        let Some(author) = author else { return Ok(None) };
        let head = found["head"]["sha"].as_str().unwrap_or_default().to_owned();
        Ok(Some(Merged { api, address: self.seen(found), author, by, head }))
    }

    /// Who approved what was merged, but for its author.
    async fn approvers(&self, merged: &Merged, token: &str) -> Result<Vec<String>, Problem> {
        let Merged { api, author, head, .. } = merged;
        if self.forge == Forge::GitLab {
            let found = self.find_at(&format!("{api}/approvals"), token).await?.unwrap_or_default();
            let given = found["approved_by"].as_array().into_iter().flatten();
            return Ok(given
                .filter_map(|given| person(&given["user"]))
                .filter(|who| who != author)
                .collect());
        }
        let limit = if self.forge == Forge::GitHub { "per_page" } else { "limit" };
        let mut last: BTreeMap<String, bool> = BTreeMap::new();
        for page in 1..=PAGES {
            let address = format!("{api}/reviews?{limit}={PAGE}&page={page}");
            let found = self.find_at(&address, token).await?.unwrap_or_default();
            let reviews = found.as_array().map(Vec::as_slice).unwrap_or_default();
            for review in reviews {
                let approves = match review["state"].as_str() {
                    Some("APPROVED") => true,
                    Some("CHANGES_REQUESTED" | "REQUEST_CHANGES" | "DISMISSED") => false,
                    _ => continue,
                };
                let stands = approves && review["dismissed"] != true && review["commit_id"] == *head;
                last.extend(person(&review["user"]).map(|who| (who, stands)));
            }
            // How many a page has at most, a server may rule.
            if reviews.is_empty() {
                break;
            }
        }
        Ok(last.into_iter().filter(|(who, stands)| *stands && who != author).map(|(who, _)| who).collect())
    }
}

/// The name of a user.
fn name(user: &Value) -> Option<String> {
    user["login"].as_str().or_else(|| user["username"].as_str()).map(str::to_owned)
}

/// The name of a user who is no bot.
fn person(user: &Value) -> Option<String> {
    name(user).filter(|_| user["type"] != "Bot")
}
