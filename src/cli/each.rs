//! Asking about many tags at the same time.

use tokio::task::JoinSet;

use crate::diagnostic::{Code, Problem};
use crate::store::Repository;

/// Tags that are asked about at the same time.
const AT_ONCE: usize = 8;

/// What `ask` says of each tag, in their order. `what` names the work where it is stopped.
///
/// # Errors
/// The first that `ask` fails with.
pub(crate) async fn each_tag<T, F>(
    repository: &Repository,
    tags: Vec<String>,
    what: &str,
    ask: impl Fn(Repository, String) -> F,
) -> Result<Vec<T>, Problem>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Problem>> + Send + 'static,
{
    let mut waiting = tags.into_iter().enumerate();
    let (mut asking, mut answers) = (JoinSet::new(), Vec::new());
    loop {
        while asking.len() < AT_ONCE
            && let Some((at, tag)) = waiting.next()
        {
            let asked = ask(repository.clone(), tag);
            asking.spawn(async move { asked.await.map(|answer| (at, answer)) });
        }
        let Some(answered) = asking.join_next().await else { break };
        let answered = answered.map_err(|error| {
            Problem::new(Code::Interrupted, format!("{what} was stopped")).note(error.to_string())
        });
        answers.push(answered??);
    }
    answers.sort_by_key(|(at, _)| *at);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}
