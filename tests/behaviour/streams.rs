//! A stream hands out every record once, to any executor, and counts as read only what it handed out.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use futures_core::Stream;
use futures_core::stream::FusedStream;
use ottla::{Broker, Consumer, Error, OwnedRecord, Result, TopicPartition};

/// An executor of one thread: runs whatever task was woken, until all have ended.
#[derive(Default)]
struct Executor {
    woken: Mutex<Vec<usize>>,
    thread: Mutex<Option<std::thread::Thread>>,
}

struct TaskWaker {
    executor: Arc<Executor>,
    task: usize,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.executor.woken.lock().unwrap().push(self.task);
        if let Some(thread) = &*self.executor.thread.lock().unwrap() {
            thread.unpark();
        }
    }
}

fn run_all(tasks: Vec<Pin<Box<dyn Future<Output = ()> + '_>>>) {
    let executor = Arc::<Executor>::default();
    *executor.thread.lock().unwrap() = Some(std::thread::current());
    let mut left = tasks.len();
    *executor.woken.lock().unwrap() = (0..left).collect();
    let mut tasks: Vec<_> = tasks.into_iter().map(Some).collect();
    while left > 0 {
        let woken = std::mem::take(&mut *executor.woken.lock().unwrap());
        if woken.is_empty() {
            std::thread::park();
        }
        for number in woken {
            let waker = Waker::from(Arc::new(TaskWaker { executor: Arc::clone(&executor), task: number }));
            let Some(task) = &mut tasks[number] else { continue };
            if task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                tasks[number] = None;
                left -= 1;
            }
        }
    }
}

async fn take(consumer: &mut Consumer, count: usize) -> Vec<Result<OwnedRecord>> {
    let mut records = pin!(consumer.stream());
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.extend(poll_fn(|context| records.as_mut().poll_next(context)).await);
    }
    taken
}

#[test]
fn many_tasks_on_one_thread_each_get_every_record_that_is_sent_meanwhile() {
    const TASKS: usize = 16;
    const RECORDS: usize = 100;
    let broker = Broker::temporary().unwrap();
    let topic = broker.topic("orders").unwrap();
    let consumers: Vec<_> = (0..TASKS).map(|n| broker.consumer(&format!("g{n}"), ["orders"]).unwrap()).collect();
    let ended = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..RECORDS {
                topic.produce("k", n.to_string()).unwrap();
            }
        });
        let task = |mut consumer: Consumer| -> Pin<Box<dyn Future<Output = ()>>> {
            let ended = &ended;
            Box::pin(async move {
                let taken = take(&mut consumer, RECORDS).await;
                let values: Vec<_> = taken.into_iter().map(|record| record.unwrap().into_value().unwrap()).collect();
                let expected: Vec<_> = (0..RECORDS).map(|n| n.to_string().into_bytes()).collect();
                assert_eq!(values, expected);
                ended.fetch_add(1, Ordering::Relaxed);
            })
        };
        run_all(consumers.into_iter().map(task).collect());
    });
    assert_eq!(ended.into_inner(), TASKS);
}

#[test]
fn a_stream_that_is_dropped_has_read_what_it_handed_out() {
    let broker = Broker::temporary().unwrap();
    let topic = broker.topic("orders").unwrap();
    for n in 0..5 {
        topic.produce("k", n.to_string()).unwrap();
    }
    let orders = TopicPartition::new("orders", 0);
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    for position in [2, 4] {
        run_all(vec![Box::pin(async { assert_eq!(take(&mut consumer, 2).await.len(), 2) })]);
        consumer.commit().unwrap();
        assert_eq!(consumer.committed(&orders).unwrap().unwrap().offset(), position);
    }
}

#[test]
fn a_stream_ends_with_the_first_error() {
    let broker = Broker::temporary().unwrap();
    broker.topic("orders").unwrap();
    let mut consumer = broker.consumer("g", ["orders"]).unwrap();
    consumer.poll(Duration::ZERO).unwrap();
    let handle = consumer.handle();
    let mut stream = pin!(consumer.stream());
    let waiting = async {
        let first = poll_fn(|context| {
            let poll = stream.as_mut().poll_next(context);
            if poll.is_pending() {
                handle.wakeup();
            }
            poll
        });
        assert!(matches!(first.await, Some(Err(Error::Wakeup))));
        assert!(stream.is_terminated());
        assert!(poll_fn(|context| stream.as_mut().poll_next(context)).await.is_none());
    };
    run_all(vec![Box::pin(waiting)]);
}
