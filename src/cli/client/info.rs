//! `tidegate info`.

use std::io::{self, Write};

use serde_json::{Value, json};
use tidegate_client::proto::{Action, HandlerInfo, InfoResponse};

use super::{Options, answer, run};
use crate::cli::Failure;
use crate::cli::text::{Side, size, table};

/// Tells the gateway's version, its limits, its handlers, and who it takes the caller for
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate info
  tidegate info --json | jq -r '.handlers[].name'

It ends with 0, and with 69 where no gateway answers.")]
pub(in crate::cli) struct Info {
    #[command(flatten)]
    options: Options,
}

impl Info {
    pub(in crate::cli) fn run(&self) -> Result<(), Failure> {
        run(async {
            let client = self.options.connect("").await?;
            let info = client.info().await.map_err(super::Error::from)?;
            match self.options.json {
                true => answer::line(&object(&info))?,
                false => write(&info, &mut anstream::stdout().lock())?,
            }
            Ok(())
        })
    }
}

fn write(info: &InfoResponse, out: &mut dyn Write) -> io::Result<()> {
    let or_none = |text: &str| if text.is_empty() { "-" } else { text }.to_owned();
    let lines = [
        ["version".to_owned(), info.version.clone()],
        ["node".to_owned(), or_none(&info.node)],
        ["you are".to_owned(), or_none(&info.subject)],
        ["tenant".to_owned(), or_none(&info.tenant)],
        [
            "a request".to_owned(),
            format!(
                "{} packets, {}",
                info.max_packets,
                size(info.max_request_bytes)
            ),
        ],
        [
            "a packet".to_owned(),
            format!("{} bytes", info.max_packet_bytes),
        ],
    ];
    table(&lines, &[Side::Left, Side::Left], out)?;
    if info.handlers.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let head = ["HANDLER", "KIND", "DURABLE", "ACTIONS"].map(str::to_owned);
    let rows = info.handlers.iter().map(|handler| {
        let actions = match &handler.actions[..] {
            [] => "any".to_owned(),
            _ => actions(handler).join(" "),
        };
        let durable = if handler.durable { "yes" } else { "no" };
        [
            handler.name.clone(),
            handler.kind.clone(),
            durable.to_owned(),
            actions,
        ]
    });
    let rows: Vec<_> = [head].into_iter().chain(rows).collect();
    table(&rows, &[Side::Left; 4], out)
}

fn actions(handler: &HandlerInfo) -> Vec<String> {
    let name = |action: Action| {
        let name = action.as_str_name().trim_start_matches("ACTION_");
        name.to_ascii_lowercase()
    };
    handler.actions().map(name).collect()
}

fn object(info: &InfoResponse) -> Value {
    let handlers = info.handlers.iter().map(|handler| {
        json!({
            "name": handler.name,
            "kind": handler.kind,
            "durable": handler.durable,
            "actions": actions(handler),
            "methods": handler.methods,
        })
    });
    json!({
        "version": info.version,
        "node": info.node,
        "subject": info.subject,
        "tenant": info.tenant,
        "max_packets": info.max_packets,
        "max_request_bytes": info.max_request_bytes,
        "max_packet_bytes": info.max_packet_bytes,
        "handlers": handlers.collect::<Vec<_>>(),
    })
}
