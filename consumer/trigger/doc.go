// Package trigger turns the notifications of object stores into changes, and
// finds the content groups that they concern.
//
// # Decoding
//
// [Decode] takes one NATS message and says what changed. It knows a format by
// its content, in this order; the first that fits counts:
//
//	an array                                   each element by itself
//	Event "s3:TestEvent"                       the test of AWS S3
//	Records                                    AWS S3 2.x, MinIO, Ceph, what imitates them;
//	                                           AWS Lambda's events of SQS and SNS
//	specversion, or the header ce-specversion  CloudEvents: Azure storage, Cloud Storage (Eventarc);
//	                                           any other type: its data, as a notification
//	eventType Microsoft.Storage.*              Azure Event Grid's own schema
//	detail-type, with source aws.s3            AWS EventBridge
//	message, attributes; headers eventType …   Cloud Storage through Pub/Sub, pushed or pulled
//	Type and Message                           SNS: what it holds
//	Body, Messages                             SQS: what it holds
//
// Each kind of envelope is taken off once, so SQS around SNS around S3 is read,
// and SQS around SQS is not.
//
// What holds for every change:
//
//   - The key has the bytes of the object's name: no Unicode normalisation, no
//     cleaning of paths. It is decoded exactly once, and only where the format
//     encodes: form encoding for S3 notifications and what imitates them. Ceph
//     (eventSource "ceph:s3") writes keys as they are, as do EventBridge,
//     Cloud Storage and the subject of Azure.
//   - Nothing that was said is dropped. A test, a change of metadata, a folder
//     marker and an event that is not known are changes of [KindNone] with the
//     reason in words. An event of a name that nobody knows is one of these:
//     EventBridge sends whatever a bucket does.
//   - A rename is a creation and a deletion. A renamed or deleted directory is one
//     change with Tree: it concerns everything below it.
//   - The deletion of one version says which. GCS says "deleted" of content that
//     was overwritten: that is no deletion of the name.
//   - On Azure Data Lake and SFTP the file counts when it is closed
//     (FlushWithClose, SftpCommit), not when it is made, still empty.
//
// Members that are not known are ignored, members of a wrong type are as good as
// absent, and size may be a number or a string. JSON that is broken, not UTF-8 or
// has a member twice is refused, as is a notification without a container or key,
// and one beyond [MaxSize] or [MaxChanges]. The error is a [*DecodeError]: set the
// message aside, it will never be better. What could be read comes beside it.
//
// # Order and duplicates
//
// Every store sends at least once and in any order. [Change.Replaces] says which
// of two changes of an object is its state, by the store's own rule: hex padded
// on the right for S3, text for Azure, a number for Cloud Storage, the time for
// Ceph, whose sequencer does not compare.
//
// # Routes
//
// [Load] reads routes from YAML, strictly, and reports everything that is wrong
// at once, with lines. [Routes.Match] finds the first route whose container,
// prefix, suffix and events fit: by a look-up for each length of prefix, so that
// 5,000 routes cost what 50 cost.
//
// One content group has one window, and one window makes one request. So routes
// to one content group must have the same window, directive, level, plan and
// labels; Load refuses others. [Routes.Check] finds what can be loaded but was
// hardly meant.
//
// A directive file is written into the storage that is watched, and so raises a
// notification itself. Whatever lies below the prefix of a directive therefore
// starts nothing, whatever the routes say ([ReasonDirective]): there is nothing
// to remember, and no loop to forget. That is why such a prefix is required, ends
// in a slash and should be used for nothing else.
//
// A key that no line of a directive file can stand for is told by [Route.Path].
//
// # Concurrency
//
// Everything here is a pure function of its arguments, except Load, and safe for
// concurrent use.
package trigger
