//! Keeps the readings of sensors in PostgreSQL: a batch of the gateway is one transaction with one INSERT.
//!
//! A packet is a CREATE with the sensor as its key and a number as its content. docs/handlers.md leads through this file.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::error::Error;
use std::net::SocketAddr;

use clap::Parser;
use deadpool_postgres::{Manager, Pool, PoolError, Transaction};
use tidegate_client::proto::handler_server::{Handler, HandlerServer};
use tidegate_client::proto::{
    Action, HandleItem, HandleRequest, HandleResponse, HandleResult, Reason,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_postgres::{Config, NoTls};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// Sorted by domain, so that two batches never wait for each other's rows. Those that share a domain go one after the other.
const RAISE_TERMS: &str = "
    INSERT INTO terms AS seen SELECT $1, * FROM unnest($2::bigint[], $3::bigint[])
    ON CONFLICT (handler, domain) DO UPDATE SET term = greatest(seen.term, excluded.term)
    RETURNING domain, term";

const INSERT_READINGS: &str = "
    INSERT INTO readings SELECT * FROM unnest($1::text[], $2::text[], $3::float8[], $4::text[])
    ON CONFLICT (id) DO NOTHING";

#[derive(Debug)]
struct Readings {
    pool: Pool,
}

#[tonic::async_trait]
impl Handler for Readings {
    async fn handle(
        &self,
        batch: Request<HandleRequest>,
    ) -> Result<Response<HandleResponse>, Status> {
        let applied = self.apply(batch.get_ref()).await;
        let results = applied.map_err(|error| status(&error))?;
        Ok(Response::new(HandleResponse { results }))
    }
}

impl Readings {
    /// Nothing of a batch that fails, or that the gateway waits for no longer, is there: it comes again as a whole.
    async fn apply(&self, batch: &HandleRequest) -> Result<Vec<HandleResult>, PoolError> {
        let mut connection = self.pool.get().await?;
        let transaction = connection.transaction().await?;
        let terms = raise_terms(&transaction, batch).await?;

        let (mut ids, mut sensors, mut values, mut senders) = (vec![], vec![], vec![], vec![]);
        let mut stopped = HashSet::new();
        let mut results = Vec::with_capacity(batch.items.len());
        for item in &batch.items {
            // Of an owner that has a successor, which sends the item again if it is still to be done.
            let is_late = item.term.cast_signed() < terms[&item.domain.into()];
            if is_late || stopped.contains(&item.chain) {
                // What is behind it in its order waits with it; chain 0 is no order.
                if item.chain != 0 {
                    stopped.insert(item.chain);
                }
                results.push(item.retry());
                continue;
            }
            match value(item) {
                Ok(value) => {
                    ids.push(&*item.id);
                    sensors.push(&*item.key);
                    values.push(value);
                    senders.push(item.principal.as_ref().map_or("", |who| &who.subject));
                    results.push(item.ok());
                }
                Err(wrong) => results.push(item.rejected(Reason::InvalidData, wrong)),
            }
        }
        let insert = transaction.prepare_cached(INSERT_READINGS).await?;
        transaction
            .execute(&insert, &[&ids, &sensors, &values, &senders])
            .await?;
        transaction.commit().await?;
        Ok(results)
    }
}

/// The highest term of each domain in the batch, seen now or before. No other batch raises one until this one is over.
async fn raise_terms(
    transaction: &Transaction<'_>,
    batch: &HandleRequest,
) -> Result<HashMap<i64, i64>, PoolError> {
    let mut highest = BTreeMap::<i64, i64>::new();
    for item in &batch.items {
        let term = highest.entry(item.domain.into()).or_default();
        *term = item.term.cast_signed().max(*term);
    }
    let (domains, terms): (Vec<i64>, Vec<i64>) = highest.into_iter().unzip();
    let raise = transaction.prepare_cached(RAISE_TERMS).await?;
    let rows = transaction
        .query(&raise, &[&batch.handler, &domains, &terms])
        .await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

fn value(item: &HandleItem) -> Result<f64, &'static str> {
    if item.action() != Action::Create {
        return Err("readings are only created");
    }
    let [content] = &*item.data else {
        return Err("a reading is one item of content");
    };
    let value = str::from_utf8(content)
        .ok()
        .and_then(|text| text.parse().ok());
    value
        .filter(|value: &f64| value.is_finite())
        .ok_or("a reading is a number such as 21.5")
}

/// PostgreSQL's classes 22 and 23 are about the data: the gateway looks for the item in ever smaller batches. All others are about
/// the database: the same items come again later.
fn status(error: &PoolError) -> Status {
    let said = match error {
        PoolError::Backend(error) => error.as_db_error(),
        _ => None,
    };
    match said {
        Some(said) if matches!(said.code().code().get(..2), Some("22" | "23")) => {
            Status::invalid_argument(said.to_string())
        }
        Some(said) => Status::unavailable(said.to_string()),
        None => Status::unavailable(error.to_string()),
    }
}

#[derive(Debug, Parser)]
struct Options {
    /// Where the gateway calls; port 0 is one that is free.
    #[arg(long, default_value = "127.0.0.1:7001")]
    listen: SocketAddr,
    /// As in "postgresql://user@host/database". The tables of schema.sql are there.
    #[arg(long, env = "DATABASE_URL")]
    database: Config,
}

// Whoever started it reads there where it listens.
#[allow(clippy::print_stdout)]
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let pool = Pool::builder(Manager::new(options.database, NoTls)).build()?;
    let (mut terminated, mut interrupted) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<HandlerServer<Readings>>().await;
    // Answers are small and waited for.
    let incoming = TcpIncoming::bind(options.listen)?.with_nodelay(Some(true));
    println!("listening on {}", incoming.local_addr()?);
    Server::builder()
        .add_service(health_service)
        .add_service(HandlerServer::new(Readings { pool }))
        .serve_with_incoming_shutdown(incoming, async {
            tokio::select! { _ = terminated.recv() => {} _ = interrupted.recv() => {} }
        })
        .await?;
    Ok(())
}
