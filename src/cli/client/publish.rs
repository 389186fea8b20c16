//! `tidegate publish`.

use tidegate_client::proto::Packet;

use super::content::Content;
use super::{Options, Patience, run};
use crate::cli::Failure;

/// Publishes on a topic: each TEXT is a message, and without any all of standard input is one
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate publish chat.kitchen 'who buys milk?'
  tidegate publish chat.kitchen one two three  # in this order, all or none
  date | tidegate publish logs.today
  tidegate publish pictures.new --data iVBORw0KGgo=

It ends with 0 when the message is kept (on an ephemeral topic: told), 1 when it was refused, 69 where no gateway answers, and 75 when
it is not known yet what became of it.")]
pub(in crate::cli) struct Publish {
    /// Its tokens are separated by dots
    topic: String,
    #[command(flatten)]
    content: Content,
    #[command(flatten)]
    patience: Patience,
    #[command(flatten)]
    options: Options,
}

impl Publish {
    pub(in crate::cli) fn run(&self) -> Result<(), Failure> {
        let mut packet = Packet::publish(&self.topic);
        self.content.put_or_piped(&mut packet)?;
        run(async {
            let result = self.options.one(&self.patience, packet).await?;
            self.options.tell(result)
        })
    }
}
