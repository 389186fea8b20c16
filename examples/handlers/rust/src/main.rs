//! A handler in Rust: readings of sensors, each batch of them one statement into PostgreSQL.
//!
//! A packet is a CREATE: its key is the sensor, and its content is `{"at": 1767225600, "value": 21.5}`, with Unix seconds.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use deadpool_postgres::{Manager, Pool, PoolError, Transaction};
use serde::Deserialize;
use tidegate_client::proto::handler_server::{Handler, HandlerServer};
use tidegate_client::proto::{Action, HandleItem, HandleRequest, HandleResponse};
use tidegate_client::proto::{HandleResult, Reason};
use tokio::signal::unix::{SignalKind, signal};
use tokio_postgres::{Config, NoTls};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// A column each, so it is the same statement for any number of rows.
const WRITE: &str = "
    INSERT INTO readings (id, tenant, sensor, at, value)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::float8[], $5::float8[])
    ON CONFLICT (id) DO NOTHING";

/// Locks the rows until the transaction ends: what shares a domain is done one after the other.
const RAISE: &str = "
    INSERT INTO terms AS seen SELECT $1, * FROM unnest($2::bigint[], $3::bigint[])
    ON CONFLICT (handler, domain) DO UPDATE SET term = greatest(seen.term, excluded.term)
    RETURNING domain, term";

#[derive(Debug)]
struct Readings {
    pool: Pool,
}

#[derive(Debug, Deserialize)]
struct Reading {
    at: f64,
    value: f64,
}

#[tonic::async_trait]
impl Handler for Readings {
    async fn handle(
        &self,
        batch: Request<HandleRequest>,
    ) -> Result<Response<HandleResponse>, Status> {
        let done = self.write(batch.get_ref()).await;
        let results = done.map_err(|error| status(&error))?;
        Ok(Response::new(HandleResponse { results }))
    }
}

impl Readings {
    /// Does a batch in one transaction: the readings, under the ids that brought them, and the terms. Nothing of it is there
    /// when it fails, or when the gateway no longer waits.
    async fn write(&self, batch: &HandleRequest) -> Result<Vec<HandleResult>, PoolError> {
        let mut connection = self.pool.get().await?;
        let transaction = connection.transaction().await?;
        let terms = raise_terms(&transaction, batch).await?;

        let (mut ids, mut tenants, mut sensors) = (vec![], vec![], vec![]);
        let (mut times, mut values) = (vec![], vec![]);
        let mut stopped = HashSet::new();
        let mut results = Vec::with_capacity(batch.items.len());
        for item in &batch.items {
            // The domain has another owner by now, which sends the item itself if it is still to be done.
            let is_late = item.term.cast_signed() < terms[&item.domain.into()];
            if is_late || stopped.contains(&item.chain) {
                // What stands behind it in its chain does not go past it; 0 is no chain.
                stopped.extend((item.chain != 0).then_some(item.chain));
                results.push(item.retry());
                continue;
            }
            match reading(item) {
                Ok(reading) => {
                    ids.push(&*item.id);
                    tenants.push(item.principal.as_ref().map_or("", |who| &who.tenant));
                    sensors.push(&*item.key);
                    times.push(reading.at);
                    values.push(reading.value);
                    results.push(item.ok());
                }
                Err((reason, message)) => results.push(item.rejected(reason, message)),
            }
        }
        let write = transaction.prepare_cached(WRITE).await?;
        transaction
            .execute(&write, &[&ids, &tenants, &sensors, &times, &values])
            .await?;
        transaction.commit().await?;
        Ok(results)
    }
}

/// The highest term that was seen of each domain in the batch.
async fn raise_terms(
    transaction: &Transaction<'_>,
    batch: &HandleRequest,
) -> Result<HashMap<i64, i64>, PoolError> {
    // Sorted, so that of two batches neither waits for the other.
    let mut here = BTreeMap::<i64, i64>::new();
    for item in &batch.items {
        let term = here.entry(item.domain.into()).or_default();
        *term = item.term.cast_signed().max(*term);
    }
    let (domains, terms): (Vec<i64>, Vec<i64>) = here.into_iter().unzip();
    let raise = transaction.prepare_cached(RAISE).await?;
    let rows = transaction
        .query(&raise, &[&batch.handler, &domains, &terms])
        .await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// What the item brings, or why it is refused.
fn reading(item: &HandleItem) -> Result<Reading, (Reason, &'static str)> {
    if item.action() != Action::Create {
        let message = "a reading is created, and nothing else";
        return Err((Reason::UnsupportedAction, message));
    }
    if item.key.contains('\0') {
        // PostgreSQL's texts have none, and it would refuse the whole batch.
        return Err((Reason::InvalidData, "a sensor's name has no NUL"));
    }
    let reading = match &*item.data {
        [content] => serde_json::from_slice(content).ok(),
        _ => None,
    };
    let message = r#"a reading is {"at": 1767225600, "value": 21.5}"#;
    reading.ok_or((Reason::InvalidData, message))
}

/// PostgreSQL's classes 22 and 23 are about the data: the gateway looks for the item. All others are about the database: no item
/// is to blame, and the gateway calls again with all of them.
fn status(error: &PoolError) -> Status {
    let said = match error {
        PoolError::Backend(error) => error.as_db_error(),
        _ => None,
    };
    let Some(said) = said else {
        return Status::unavailable(error.to_string());
    };
    match said.code().code().get(..2) {
        Some("22" | "23") => Status::invalid_argument(said.to_string()),
        _ => Status::unavailable(said.to_string()),
    }
}

#[derive(Debug, Parser)]
struct Options {
    /// Where the gateway finds it; port 0 is one that is free.
    #[arg(long, default_value = "127.0.0.1:7004")]
    listen: SocketAddr,
    /// As in "postgresql://user@host/database": where the tables of schema.sql are.
    #[arg(long, env = "DATABASE_URL")]
    database: Config,
}

// Whoever starts it reads there where it listens.
#[allow(clippy::print_stdout)]
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut options = Options::parse();
    // Nothing is waited for as long as the gateway waits for an answer.
    let database = options.database.options("-c statement_timeout=4s");
    database.connect_timeout(Duration::from_secs(4));
    let pool = Pool::builder(Manager::new(options.database, NoTls)).build()?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // The gateway asks an address that was away whether it is back.
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<HandlerServer<Readings>>().await;
    let incoming = TcpIncoming::bind(options.listen)?.with_nodelay(Some(true));
    println!("listening on {}", incoming.local_addr()?);
    Server::builder()
        .add_service(health_service)
        .add_service(HandlerServer::new(Readings { pool }))
        .serve_with_incoming_shutdown(incoming, async {
            tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
        })
        .await?;
    Ok(())
}
