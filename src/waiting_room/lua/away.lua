-- Which of these people are away.
-- KEYS: generation, seen. ARGV: the people.
-- Returns false when there is no line here (then nobody is held to be away), else 1 for away and 0 for present.
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answer = {}
for i = 1, #ARGV do
  local present_until = redis.call('ZSCORE', KEYS[2], ARGV[i])
  answer[i] = (present_until and tonumber(present_until) >= now) and 0 or 1
end
return answer
