package telemetry

// The names of spans and of their events. Those of HTTP exchanges are the method
// and the vendor's operation, "POST CreateTask".
const (
	spanProcess = "process " + requestTemplate
	spanPublish = "publish " + eventTemplate
	spanAttempt = "attempt CreateTask"
	spanFind    = "find job"
	spanJob     = "backup job"
	eventWait   = "wait"
)

const (
	requestTemplate = "backup.request.{source}"
	eventTemplate   = "backup.event.{kind}.{source}.{key}"
)

// The attributes: those of OpenTelemetry's semantic conventions where there are
// any (v1.44.0; those of messaging are still in development there), else ours.
const (
	attrSystem              = "messaging.system"
	attrOperationName       = "messaging.operation.name"
	attrOperationType       = "messaging.operation.type"
	attrDestination         = "messaging.destination.name"
	attrDestinationTemplate = "messaging.destination.template"
	attrGroup               = "messaging.consumer.group.name"
	attrMessageID           = "messaging.message.id"
	attrBodySize            = "messaging.message.body.size"

	attrMethod    = "http.request.method"
	attrStatus    = "http.response.status_code"
	attrURL       = "url.full"
	attrServer    = "server.address"
	attrPort      = "server.port"
	attrErrorType = "error.type"

	attrSource     = "backhaul.source"
	attrRequestID  = "backhaul.request.id"
	attrDelivered  = "backhaul.delivered"
	attrQueued     = "backhaul.queued"
	attrResult     = "backhaul.result"
	attrClient     = "backhaul.client.name"
	attrSubclient  = "backhaul.subclient.name"
	attrJobID      = "backhaul.job.id"
	attrOutcome    = "backhaul.job.outcome"
	attrAdopted    = "backhaul.job.adopted"
	attrKind       = "backhaul.event.kind"
	attrStep       = "backhaul.ledger.step"
	attrOperation  = "backhaul.vendor.operation"
	attrAttempt    = "backhaul.attempt"
	attrVerdict    = "backhaul.verdict"
	attrCode       = "backhaul.vendor.error_code"
	attrReason     = "backhaul.wait.reason"
	attrWait       = "backhaul.wait.seconds"
	attrFound      = "backhaul.job.found"
	attrCandidates = "backhaul.job.candidates"
)
