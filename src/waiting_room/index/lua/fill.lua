-- A part of a line that is being built, beside the one in use. What is never put into use goes by itself.
-- KEYS: builder, waiting and sum of the line to be built. ARGV: run, the builder's token, ms without a sign, then number
-- and person for each.
-- Returns 0 when the caller has lost the claim.
if redis.call('GET', KEYS[1]) ~= ARGV[2] .. ' ' .. ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
-- A person who left and came back while the journal was read stands in two parts of it, and counts once.
local people, sum = {}, 0
for i = 4, #ARGV, 2 do
  people[#people + 1] = ARGV[i + 1]
  sum = sum + mark(tonumber(ARGV[i]))
end
for _, older in ipairs(redis.call('ZMSCORE', KEYS[2], unpack(people))) do
  if older then sum = sum - mark(tonumber(older)) end
end
redis.call('ZADD', KEYS[2], unpack(ARGV, 4))
redis.call('INCRBY', KEYS[3], written(sum))
for i = 2, 3 do redis.call('EXPIRE', KEYS[i], 600) end
return 1
