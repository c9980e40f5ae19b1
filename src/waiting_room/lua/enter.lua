-- Puts people into the line and returns where they stand.
-- KEYS: generation, waiting, seen, seq. ARGV: presence in ms, then person and number for each.
-- Returns false when there is no line here (wiped, or never built), else {generation, seq, waiting, position...}.
local generation = redis.call('GET', KEYS[1])
if not generation then return false end
local time = redis.call('TIME')
local present_until = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])
for i = 2, #ARGV, 2 do
  redis.call('ZADD', KEYS[2], ARGV[i + 1], ARGV[i])
  redis.call('ZADD', KEYS[3], 'GT', present_until, ARGV[i])
end
local answer = {tonumber(generation), tonumber(redis.call('GET', KEYS[4]) or '0'), redis.call('ZCARD', KEYS[2])}
for i = 2, #ARGV, 2 do
  answer[#answer + 1] = redis.call('ZRANK', KEYS[2], ARGV[i]) + 1
end
return answer
