package natsconn

// RetryWait is the pause between two questions.
const RetryWait = retryWait
