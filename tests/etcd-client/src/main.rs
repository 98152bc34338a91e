//! Every service that `etcd-client` offers and reseed serves, once, as a user of it would.

use std::error::Error;

use etcd_client::{
    Client, Compare, CompareOp, DeleteOptions, EventType, GetOptions, PutOptions, SortOrder,
    SortTarget, Txn, TxnOp, WatchOptions,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let endpoint = std::env::args().nth(1).ok_or("usage: ENDPOINT")?;
    let mut client = Client::connect([endpoint], None).await?;
    kv(&mut client).await?;
    txn(&mut client).await?;
    watch(&mut client).await?;
    lease(&mut client).await?;
    maintenance(&mut client).await?;
    println!("etcd-client: all steps passed");
    Ok(())
}

async fn kv(client: &mut Client) -> Result<(), Box<dyn Error>> {
    for (key, value) in [("a1", "3"), ("a2", "1"), ("a3", "2")] {
        client.put(key, value, None).await?;
    }
    let previous = client.put("a1", "4", Some(PutOptions::new().with_prev_key())).await?;
    assert_eq!(previous.prev_key().ok_or("no previous pair")?.value(), b"3");
    let options = GetOptions::new()
        .with_prefix()
        .with_sort(SortTarget::Value, SortOrder::Descend)
        .with_limit(2);
    let found = client.get("a", Some(options)).await?;
    let values: Vec<_> = found.kvs().iter().map(|kv| kv.value().to_vec()).collect();
    assert_eq!(values, [b"4", b"2"]);
    assert!(found.more() && found.count() == 3);
    let options = DeleteOptions::new().with_prefix().with_prev_key();
    let deleted = client.delete("a", Some(options)).await?;
    assert_eq!((deleted.deleted(), deleted.prev_kvs().len()), (3, 3));
    Ok(())
}

async fn txn(client: &mut Client) -> Result<(), Box<dyn Error>> {
    let create = || {
        Txn::new()
            .when([Compare::create_revision("t", CompareOp::Equal, 0)])
            .and_then([TxnOp::put("t", "created", None)])
            .or_else([TxnOp::get("t", None)])
    };
    assert!(client.txn(create()).await?.succeeded());
    let second = client.txn(create()).await?;
    assert!(!second.succeeded() && second.op_responses().len() == 1);
    Ok(())
}

async fn watch(client: &mut Client) -> Result<(), Box<dyn Error>> {
    let options = WatchOptions::new().with_prefix().with_prev_key();
    let mut stream = client.watch("w", Some(options)).await?;
    client.put("w1", "v", None).await?;
    client.delete("w1", None).await?;
    let mut events = Vec::new();
    while events.len() < 2 {
        let response = stream.message().await?.ok_or("the stream ended")?;
        events.extend(response.events().iter().map(|event| event.event_type()));
    }
    assert_eq!(events, [EventType::Put, EventType::Delete]);
    stream.cancel(0).await?;
    Ok(())
}

async fn lease(client: &mut Client) -> Result<(), Box<dyn Error>> {
    let id = client.lease_grant(60, None).await?.id();
    client.put("leased", "v", Some(PutOptions::new().with_lease(id))).await?;
    let (mut keeper, mut renewals) = client.lease_keep_alive(id).await?;
    keeper.keep_alive().await?;
    assert_eq!(renewals.message().await?.ok_or("no renewal")?.ttl(), 60);
    assert_eq!(client.leases().await?.leases().len(), 1);
    client.lease_revoke(id).await?;
    assert!(client.get("leased", None).await?.kvs().is_empty());
    Ok(())
}

async fn maintenance(client: &mut Client) -> Result<(), Box<dyn Error>> {
    let status = client.status().await?;
    assert!(status.leader() != 0 && !status.version().is_empty());
    assert_eq!(client.member_list().await?.members().len(), 1);
    let mut snapshot = client.snapshot().await?;
    let mut bytes = 0;
    while let Some(chunk) = snapshot.message().await? {
        bytes += chunk.blob().len();
    }
    assert!(bytes > 0);
    client.defragment().await?;
    let revision = client.get("t", None).await?.header().ok_or("no header")?.revision();
    client.compact(revision, None).await?;
    Ok(())
}
