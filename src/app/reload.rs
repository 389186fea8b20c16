//! A gateway that runs goes on by a new configuration, by all of it or by nothing.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::handlers::{self, DropCounts};
use super::judge;
use super::store::MessageRules;
use crate::broker::Broker;
use crate::config::{Change, Config, changes};
use crate::handler::Registry;

/// Hands new configurations to a gateway that runs. Cheap to clone; it keeps none running.
#[derive(Debug, Clone)]
pub struct Reloads(mpsc::Sender<Ask>);

/// Why a configuration is not taken over, each cause by itself, and that nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotReloaded(pub Vec<String>);

#[derive(Debug)]
struct Ask {
    config: Config,
    reply: oneshot::Sender<Result<Vec<Change>, NotReloaded>>,
}

/// What a running gateway needs for it.
#[derive(Debug)]
pub(super) struct Reload {
    /// What it goes by.
    pub(super) config: Config,
    pub(super) dropped: DropCounts,
    /// Where the engine has some that can change.
    pub(super) messages: Option<MessageRules>,
    pub(super) registry: Arc<Registry>,
    pub(super) asked: Asked,
}

/// What is handed in.
#[derive(Debug)]
pub(super) struct Asked(mpsc::Receiver<Ask>);

/// A gateway reads the second; the first is for anyone.
pub(super) fn channel() -> (Reloads, Asked) {
    let (sender, asked) = mpsc::channel(1);
    (Reloads(sender), Asked(asked))
}

impl Reloads {
    /// Ends when all of it counts, or nothing does: each key that is another, or each reason.
    pub async fn reload(&self, config: Config) -> Result<Vec<Change>, NotReloaded> {
        let (reply, answer) = oneshot::channel();
        let stopping = || NotReloaded::because("the gateway is stopping");
        // What is not taken comes back with the error, and would keep the answer open.
        if self.0.send(Ask { config, reply }).await.is_err() {
            return Err(stopping());
        }
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }
}

impl NotReloaded {
    fn because(why: impl ToString) -> Self {
        Self(vec![why.to_string()])
    }
}

impl Reload {
    /// Takes over what comes in, as long as there is anyone to hand something in.
    pub(super) async fn run(&mut self, broker: &Broker) {
        while let Some(Ask { config, reply }) = self.asked.0.recv().await {
            let taken_over = self.take_over(config, broker).await;
            // Whoever asked may have given up.
            let _ = reply.send(taken_over);
        }
        std::future::pending().await
    }

    /// Everything that could fail comes before anything that changes.
    async fn take_over(
        &mut self,
        config: Config,
        broker: &Broker,
    ) -> Result<Vec<Change>, NotReloaded> {
        judge(&config).map_err(NotReloaded::because)?;
        let keys = changes(&self.config, &config).map_err(|refusals| {
            let causes = refusals.iter().map(ToString::to_string);
            NotReloaded(causes.collect())
        })?;
        let others = handlers::others(&self.config, &config, &self.registry, &mut self.dropped);
        let others = others.map_err(NotReloaded::because)?;
        if !others.is_empty() {
            let reloaded = broker.reload(others).await;
            reloaded.map_err(NotReloaded::because)?;
        }
        if let Some(messages) = &self.messages {
            messages.set(&config);
        }
        self.config = config;
        Ok(keys)
    }
}

#[cfg(test)]
mod tests;
