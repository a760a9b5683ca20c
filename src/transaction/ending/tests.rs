use std::time::Duration;

use super::*;
use crate::broker::Broker;
use crate::error::FencedBy;
use crate::record::ProducerRecord;
use crate::transaction::Terms;

const TERMS: Terms = Terms { timeout: Duration::from_secs(60), is_durable: false };

/// Several may be about to finish a transaction, and the last of them comes when the next one of its name has begun.
#[test]
fn who_comes_late_does_nothing_to_the_next_transaction() {
    let broker = Broker::temporary().unwrap();
    let topic = broker.topic("orders").unwrap();
    let log = topic.partition(0).unwrap().writable().unwrap().clone();
    let transactions = broker.store.transactions().unwrap();
    let send = |holder: &Arc<Holder>| {
        let number = transactions.begin(holder).unwrap();
        holder.append(number, &log, &[ProducerRecord::new().value("a")]).unwrap();
        number
    };
    let decided = || transactions.names.look("p", |name| name.decided.clone()).flatten().unwrap();

    let (first, _) = transactions.take_over("p", TERMS, 1).unwrap();
    let number = send(&first);
    let (consists_of, _) = first.begin_ending(number).unwrap();
    let committed = transactions.decide(&first, &consists_of).unwrap();
    transactions.finish("p", &committed).unwrap();
    let number = send(&first);
    transactions.finish("p", &committed).unwrap();
    assert!(log.has_open_transactions(), "the second transaction is open still");

    // The same where the next one is another holder's, who has the epoch that the former one was fenced with.
    transactions
        .names
        .change("p", |name, log| name.decide_abort(log, &first, Some(Refusal::Fenced(FencedBy::Newer))))
        .unwrap()
        .unwrap();
    let aborted = decided();
    let (second, _) = transactions.take_over("p", TERMS, 2).unwrap();
    assert!(transactions.commit(&first, number).is_err());
    assert!(!log.has_open_transactions());
    let number = send(&second);
    transactions.finish("p", &aborted).unwrap();
    assert!(log.has_open_transactions(), "the third transaction is open still");
    transactions.commit(&second, number).unwrap();
    assert!(!log.has_open_transactions());
}
