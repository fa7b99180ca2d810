-- wrk -t1 -c CONNECTIONS -d LIMIT -s wrk.lua URL -- FILE
-- asks the URL once with each header line of FILE, over all connections, and says `answered` when the last was answered;
-- after SIGINT it prints one line: requests, answers that are no success, and the percentiles 50 and 99 of response
-- times in microseconds.

local messages, sent, answered = {}, 0, 0

function init(arguments)
  for line in io.lines(arguments[1]) do
    local name, value = line:match("^([^:]+): (.*)$")
    messages[#messages + 1] = wrk.format("GET", nil, { [name] = value })
  end
end

function request()
  sent = sent + 1
  return messages[(sent - 1) % #messages + 1]
end

function response()
  answered = answered + 1
  if answered == #messages then
    io.write("answered\n")
    io.flush()
    wrk.thread:stop()
  end
end

function done(summary, latency)
  io.write(string.format("%d %d %d %d\n", summary.requests,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
