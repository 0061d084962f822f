class OneByOne:
    """Do the shards in this process, one after the other, and say so."""

    def __init__(self, workers):
        self.workers = workers

    def at_most(self, workers):
        return OneByOne(min(self.workers, workers))

    def run(self, work, shards):
        for shard in shards:
            print("shard", shard.name)
            yield shard.name, work.do(shard)
